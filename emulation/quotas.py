"""Service Quotas, of which moto lacks EC2's: how much of something the account may have."""

import json

from werkzeug.wrappers import Request, Response

QUOTAS = {
    "L-1216C47A": ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 32.0),
    "L-0263D0A3": ("EC2-VPC Elastic IPs", 5.0),
}
"""Name and value of EC2's quotas, by code. A new account has five vCPUs or fewer; this one is a little older."""


def answer(request: Request) -> Response | None:
    """The answer to a call of Service Quotas; None for any other call.

    Source: GetServiceQuota in Service Quotas' API reference.
    """
    target = request.headers.get("X-Amz-Target", "")
    if not target.startswith("ServiceQuotas"):
        return None
    asked = json.loads(request.get_data(cache=True))
    code = asked.get("QuotaCode", "")
    if (
        target.rpartition(".")[2] != "GetServiceQuota"
        or asked.get("ServiceCode") != "ec2"
        or code not in QUOTAS
    ):
        return _json(
            {"__type": "NoSuchResourceException", "Message": f"The quota {code} does not exist."}, 400
        )
    name, value = QUOTAS[code]
    return _json(
        {
            "Quota": {
                "ServiceCode": "ec2",
                "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
                "QuotaCode": code,
                "QuotaName": name,
                "Value": value,
                "Unit": "None",
                "Adjustable": True,
                "GlobalQuota": False,
            }
        }
    )


def _json(content: object, status: int = 200) -> Response:
    return Response(json.dumps(content), status, mimetype="application/x-amz-json-1.1")

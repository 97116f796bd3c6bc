"""AWS Backup's selections, which moto lacks: the resources that a backup plan covers."""

import json
import re
import time
from typing import Any
from uuid import uuid4

from werkzeug.wrappers import Request, Response

PATH = re.compile(r"/backup/plans/([^/]+)/selections(?:/([^/]+))?/?")

Selections = dict[str, dict[str, dict[str, Any]]]
"""The answers of GetBackupSelection, by the plan's id and the selection's id."""


def answer(request: Request, selections: Selections) -> Response | None:
    """The answer to a call about selections; None for any other call.

    Source: CreateBackupSelection, GetBackupSelection, ListBackupSelections and DeleteBackupSelection in AWS Backup's
    API reference.
    """
    path = PATH.fullmatch(request.path)
    if not path:
        return None
    plan, identifier = path[1], path[2]
    of_plan = selections.setdefault(plan, {})
    if request.method == "PUT" and not identifier:
        identifier = str(uuid4())
        of_plan[identifier] = {
            "BackupPlanId": plan,
            "SelectionId": identifier,
            "CreationDate": time.time(),
            "BackupSelection": json.loads(request.get_data())["BackupSelection"],
        }
        made = of_plan[identifier]
        return _json({key: made[key] for key in ("BackupPlanId", "SelectionId", "CreationDate")})
    if request.method == "GET" and not identifier:
        listed = [
            {**selection["BackupSelection"], **selection, "BackupSelection": None}
            for selection in of_plan.values()
        ]
        return _json({"BackupSelectionsList": listed})
    if identifier not in of_plan:
        message = f"Cannot find Backup selection with ID {identifier}"
        return _json(
            {"Code": "ERROR_2201", "Message": message}, 400, {"X-Amzn-ErrorType": "ResourceNotFoundException"}
        )
    if request.method == "DELETE":
        del of_plan[identifier]
        return _json({})
    return _json(of_plan[identifier])


def _json(content: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(content), status, headers, mimetype="application/json")

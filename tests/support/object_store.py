"""An object store that speaks S3 and knows one key: moto's server, which checks signatures, in a process of its own.

`python -m tests.support.object_store ADDRESS PORT` runs it: it prints the key's id and the key, and serves until its
standard input ends.
"""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.waiting import ANSWER

BUCKET = "backups"
"""The bucket that is there."""


@dataclass
class ObjectStore:
    """A running object store."""

    url: str
    """Its URL, without a bucket."""
    key_id: str
    key: str
    _process: "subprocess.Popen[str]"

    @property
    def bucket(self) -> str:
        """The URL of the bucket that is there."""
        return f"{self.url}/{BUCKET}"

    def client(self) -> Any:
        """A client of it, for tests."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.key_id,
            aws_secret_access_key=self.key,
            region_name="us-east-1",
        )

    def names(self) -> list[str]:
        """What is in the bucket."""
        found = self.client().list_objects_v2(Bucket=BUCKET).get("Contents", ())
        return [str(one["Key"]) for one in found]

    def replace(self, prefix: str, changed: Callable[[bytes], bytes | None]) -> None:
        """Replace each object whose name begins like this, under its content's checksum, unless it is to stay."""
        client = self.client()
        for name in [name for name in self.names() if name.startswith(prefix)]:
            if content := changed(client.get_object(Bucket=BUCKET, Key=name)["Body"].read()):
                new = prefix + hashlib.sha256(content).hexdigest()
                client.put_object(Bucket=BUCKET, Key=new, Body=content)
                client.delete_object(Bucket=BUCKET, Key=name)

    def stop(self) -> None:
        """Have it answer no more."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait(ANSWER)


@contextmanager
def object_store(address: str = "127.0.0.1") -> Iterator[ObjectStore]:
    """Run an object store on an address of this machine."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.object_store", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    told = json.loads(process.stdout.readline() or "{}")
    store = ObjectStore(told["url"], told["id"], told["key"], process)
    try:
        yield store
    finally:
        store.stop()


def _serve(address: str) -> None:
    import boto3
    from moto import settings
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    server = make_server(address, 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://{address}:{server.server_port}"
    anyone = {"aws_access_key_id": "anyone", "aws_secret_access_key": "anything", "region_name": "us-east-1"}
    iam = boto3.client("iam", endpoint_url=url, **anyone)
    iam.create_user(UserName="backup")
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="backup", PolicyName="backup", PolicyDocument=policy)
    key = iam.create_access_key(UserName="backup")["AccessKey"]
    boto3.client("s3", endpoint_url=url, **anyone).create_bucket(Bucket=BUCKET)
    # From here on it asks for the key.
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    print(json.dumps({"url": url, "id": key["AccessKeyId"], "key": key["SecretAccessKey"]}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve(sys.argv[1])

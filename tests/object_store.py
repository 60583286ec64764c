"""An S3 server on this machine, in a thread: what was asked of it, and requests that it refuses."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "floors"
Refuse = Callable[[str, str], bool]


class Asked:
    """What a server is asked: `puts` by key, `ranges` of what is read; 503 is its answer if `refuse(method, key)`."""

    def __init__(self) -> None:
        self.puts: Counter[str] = Counter()
        self.ranges: dict[str, list[str | None]] = defaultdict(list)
        self.refused = 0
        self.refuse: Refuse = lambda method, key: False

    def __call__(self, application: Any) -> Any:
        def answer(environ: dict[str, Any], start: Any) -> Any:
            method, key = environ["REQUEST_METHOD"], environ["PATH_INFO"].removeprefix(f"/{BUCKET}/")
            if self.refuse(method, key):
                self.refused += 1
                start("503 Slow Down", [("Content-Type", "application/xml")])
                return [b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"]
            if method == "PUT":
                self.puts[key] += 1
            if method == "GET":
                self.ranges[key].append(environ.get("HTTP_RANGE"))
            return application(environ, start)

        return answer


@contextmanager
def running_store() -> Iterator[tuple[str, Asked]]:
    """The address of a server with one bucket, and what it is asked."""
    asked = Asked()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    server._server.app = asked(server._server.app)
    url = f"http://{host}:{port}"
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment(url).items():
                patch.setenv(name, value)
            boto3.client("s3").create_bucket(Bucket=BUCKET)
            yield url, asked
    finally:
        server.stop()


def put_object(key: str) -> None:
    """An empty object, past all of ours."""
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key)


def environment(url: str) -> dict[str, str]:
    """What a person sets to reach the server."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }

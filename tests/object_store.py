"""An S3 server on this machine, in a thread: what was asked of it, and requests that it refuses."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto.moto_api._internal import mock_random  # noqa: F401 - loaded before the server's threads want it
from moto.server import DomainDispatcherApplication, ThreadedMotoServer, create_backend_app

BUCKET = "floors"
Refuse = Callable[[str, str], bool]


class Asked:
    """The requests of the server, as it counts them: `puts` by key; those that `refuse(method, key)` are answered 503."""

    def __init__(self) -> None:
        self.puts: Counter[str] = Counter()
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


def environment(url: str) -> dict[str, str]:
    """What a person sets to reach the server."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }

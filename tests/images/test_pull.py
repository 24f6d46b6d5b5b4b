"""What engines say when a pull fails, and what it means. The words are Podman's and Docker's own."""

import pytest

from boathouse.images.pull import classify

PINNED = "registry.example/team/app@sha256:" + "a" * 64
PULL, OS, LARGE = (
    "DOCKER_IMAGE_PULL_FAILURE",
    "DOCKER_INVALID_OS_EXCEPTION",
    "DOCKER_IMAGE_TOO_LARGE_FOR_INSTANCE_EXCEPTION",
)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            "writing blob: adding layer with blob: ApplyLayer exit status 1: write /x: no space left on device",
            LARGE,
            "does not fit",
        ),
        (
            'choosing an image from manifest list: no image found in manifest list for architecture amd64, variant ""',
            OS,
            "linux/amd64",
        ),
        ("no matching manifest for linux/amd64 in the manifest list entries", OS, "linux/amd64"),
        ("initializing source: reading manifest: unauthorized: authentication required", PULL, "401"),
        ('Get "https://r/v2/": unauthorized: incorrect username or password', PULL, "401"),
        ("pull access denied for team/app, repository does not exist or may require 'docker login'", PULL, "403"),
        ("reading manifest: requested access to the resource is denied", PULL, "403"),
        ("toomanyrequests: You have reached your pull rate limit.", PULL, "429"),
        ("received unexpected HTTP status: 429 Too Many Requests", PULL, "429"),
        ("reading manifest sha256:aa in r/team/app: manifest unknown", PULL, "404"),
        ("fetching blob: StatusCode: 404, blob unknown", PULL, "404"),
        ("writing blob: storing blob to file: happened during read: unexpected EOF", PULL, "stopped sending"),
        ("filesystem layer verification failed for digest sha256:bb", PULL, "digest"),
        ("writing blob: Digest did not match, expected sha256:aa, got sha256:bb", PULL, "digest"),
        ("stalled: nothing arrived for 30 s", PULL, "stopped answering"),
        ("not finished after 20 minutes", PULL, "stopped answering"),
        (
            'pinging container registry r: Get "https://r/v2/": http: server gave HTTP response to HTTPS client',
            PULL,
            "trusted connection",
        ),
        ("x509: certificate signed by unknown authority", PULL, "trusted connection"),
        ("dial tcp: lookup r.example: no such host", PULL, "does not reach"),
        ("dial tcp 10.0.0.1:443: connect: connection refused", PULL, "does not reach"),
        ("received unexpected HTTP status: 503 Service Unavailable", PULL, "5xx"),
        ("error creating layer: archive/tar: invalid tar header", PULL, "damaged"),
        ("something nobody has seen", PULL, "could not pull"),
        ("", PULL, "could not pull"),
    ],
)
def test_meaning(words: str, code: str, message: str) -> None:
    failure = classify(words, PINNED)
    assert failure.code == code and message in failure.message
    assert PINNED in failure.message and failure.fix


def test_words_are_bounded_and_without_secrets() -> None:
    failure = classify(f"denied: hunter2 \x1b[1m{PINNED}" + "x" * 1000, PINNED, ("hunter2",))
    assert "hunter2" not in failure.text and "\x1b" not in failure.text and len(failure.evidence) <= 300


def test_a_name_does_not_decide() -> None:
    assert classify("something else", "r.example/denied/404:1@sha256:" + "4" * 64).message.startswith("The engine could not pull")

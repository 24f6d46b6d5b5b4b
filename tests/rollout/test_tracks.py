"""Tracks, and clusters that follow one: by the API and by whole launches on the simulated data plane."""

import pytest

from tests.rollout.conftest import CLUSTER, TRACK, digest_of

IMAGE = "registry.example.com/etl/python@sha256:" + "a" * 64
OTHER = "registry.example.com/etl/python@sha256:" + "b" * 64


def create(platform, **image):
    return platform.api.post("/api/2.1/clusters/create", json={**CLUSTER, "docker_image": image})


def test_a_track_that_is_not_there_is_refused_by_its_name(platform):
    answer = create(platform, url="track://etl/python:unknown")
    assert answer.status_code == 400
    assert "'track://etl/python:unknown' is no track of this workspace" in answer.json()["message"]


def test_a_track_that_names_nothing_yet_is_refused(platform):
    answer = create(platform, url=TRACK)
    assert answer.status_code == 400
    assert f"'{TRACK}' names no image yet" in answer.json()["message"]


@pytest.mark.parametrize("url", ["track://etl/python", "TRACK://etl/python:stable", "track://Etl/python:stable", "track://:x"])
def test_what_is_no_track_is_never_taken_for_an_image(platform, url):
    answer = create(platform, url=url)
    assert answer.status_code == 400
    assert "docker_image.url" in answer.json()["message"] and "is no track" in answer.json()["message"]


def test_a_password_of_ones_own_is_not_sent_where_a_track_leads(platform):
    platform.point(IMAGE)
    answer = create(platform, url=TRACK, basic_auth={"username": "u", "password": "p"})
    assert answer.status_code == 400
    assert "docker_image.basic_auth: a track has the login of its registry itself" in answer.json()["message"]


def test_a_policy_is_asked_of_what_a_track_names_when_a_wish_is_written(platform):
    platform.point(IMAGE)
    policy = {"allowed_registries": ["other.example.com"], "pinned": True}
    assert platform.api.call("PUT", "/api/2.0/boathouse/image-policy", json=policy).status_code == 200
    answer = create(platform, url=TRACK)
    assert answer.status_code == 400 and "registry.example.com/etl/python" in answer.json()["message"]
    policy["allowed_registries"] = ["registry.example.com"]
    assert platform.api.call("PUT", "/api/2.0/boathouse/image-policy", json=policy).status_code == 200
    assert create(platform, url=TRACK).status_code == 200


def test_a_launch_runs_the_digest_that_the_track_names_then(platform):
    platform.point(IMAGE)
    cluster_id = platform.cluster()
    assert platform.digest(cluster_id) == "sha256:" + "a" * 64
    resolved = platform.timeline(cluster_id)["image.resolve"]["details"]
    assert (resolved["track"], resolved["digest"]) == (TRACK, "sha256:" + "a" * 64)
    shown = platform.api.get(f"/api/2.1/clusters/get?cluster_id={cluster_id}").json()
    assert shown["docker_image"] == shown["spec"]["docker_image"] == {"url": TRACK}  # the text that was sent

    platform.point(OTHER)
    assert platform.digest(cluster_id) == "sha256:" + "a" * 64  # what runs goes on
    platform.restart()
    platform.pass_time(60_000)
    assert platform.digest(cluster_id) == "sha256:" + "a" * 64  # also under a new control plane
    assert platform.api.post("/api/2.1/clusters/restart", json={"cluster_id": cluster_id}).status_code == 200
    platform.until(lambda: platform.row(cluster_id).launch == 2 and platform.row(cluster_id).state == "RUNNING")
    assert platform.digest(cluster_id) == "sha256:" + "b" * 64


def test_an_edit_that_leaves_the_track_follows_it_no_more(platform):
    platform.point(IMAGE)
    cluster_id = platform.cluster()
    assert platform.track()["followers"] == 1
    body = {**CLUSTER, "cluster_id": cluster_id, "docker_image": {"url": "registry.example.com/etl/python:9"}}
    assert platform.api.post("/api/2.1/clusters/edit", json=body).status_code == 200
    platform.until(lambda: platform.row(cluster_id).launch == 2 and platform.row(cluster_id).state == "RUNNING")
    assert platform.digest(cluster_id) == digest_of("registry.example.com/etl/python:9")
    assert "followers" not in platform.track() or platform.track()["followers"] == 0


def test_the_login_of_a_track_is_its_own(platform):
    """The password is resolved with the rights of who wrote the track, and sent to the registry of what it names."""
    for path, body in (("create", {"scope": "reg"}), ("put", {"scope": "reg", "key": "pw", "string_value": "hunter2"})):
        where = "scopes/create" if path == "create" else "put"
        assert platform.api.post(f"/api/2.0/secrets/{where}", json=body).status_code == 200
    login = {"username": "reader", "password": "{{secrets/reg/pw}}"}
    assert platform.call("tracks/update", track=TRACK, login=login)["login"] == login
    platform.point(IMAGE)
    seen = []
    resolve = platform.registry.resolve
    platform.registry.resolve = lambda reference, key, told=None: seen.append(key) or resolve(reference, key)
    platform.cluster()
    assert (seen[0].username, seen[0].password) == ("reader", "hunter2")
    code, text = platform.refused("tracks/update", track=TRACK, login={"username": "reader", "password": "hunter2"})
    assert code == 400 and "login.password" in text and "hunter2" not in text


def test_tracks_are_made_by_admins_seen_by_all_and_kept_while_they_are_followed(platform):
    _, ann = platform.admin("ann@x.org", ("users",))
    assert platform.refused("tracks/create", ann, track="track://a:b")[0] == 403
    assert platform.api.get("/api/2.0/boathouse/tracks/list", token=ann).json()["tracks"][0]["track"] == TRACK
    assert platform.refused("tracks/create", track=TRACK)[0] == 400
    assert platform.refused("tracks/create", track="etl/python:stable")[1].startswith("track: 'etl/python:stable' is no track")
    platform.point(IMAGE)
    cluster_id = platform.cluster()
    assert "is followed by 1 clusters" in platform.refused("tracks/delete", track=TRACK)[1]
    platform.api.post("/api/2.1/clusters/permanent-delete", json={"cluster_id": cluster_id})
    platform.until(lambda: platform.row(cluster_id) is None)
    platform.call("tracks/delete", track=TRACK)
    assert platform.get("tracks/list")["tracks"] == []


def test_a_login_is_kept_until_null_takes_it_away(platform):
    login = {"username": "reader", "password": "{{secrets/reg/pw}}"}
    platform.call("tracks/update", track=TRACK, login=login)
    assert platform.call("tracks/update", track=TRACK, comment="nightly")["login"] == login
    assert "login" not in platform.call("tracks/update", track=TRACK, login=None)

"""Keys, callers, limits: who gets in, with what, and how often."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_server.adapters.key_file import KeyFile
from shoal_server.application import limits
from shoal_server.application.access import FAILURES, Access, check_collections, check_everywhere, check_role
from shoal_server.application.caller import CALLER, author_of
from shoal_server.application.limits import Buckets, CallerLimits, Limits
from shoal_server.domain.access import ApiKey, Caller, Role, expiry, key_id, make_key
from shoal_server.domain.errors import (
    FolderNotWritable,
    InvalidField,
    InvalidName,
    NotPermitted,
    Overloaded,
    StoreIncompatible,
    WrongCredentials,
)
from shoal_server.domain.rate import TokenBucket
from shoal_server.domain.records.keys import keys_from_record, keys_to_record
from shoal_server.rpc.authentication import address_of

NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Kept:
    """A ``KeySource`` in memory."""

    def __init__(self, *keys: ApiKey) -> None:
        self.keys: tuple[ApiKey, ...] | None = keys

    async def changed_keys(self) -> tuple[ApiKey, ...] | None:
        keys, self.keys = self.keys, None
        return keys


async def access_with(*keys: ApiKey, at: datetime = NOW, **options: object) -> Access:
    access = Access(Kept(*keys), clock=lambda: at, **options)  # type: ignore[arg-type]
    await access.load()
    return access


def a_key(role: Role = Role.READ, *collections: str, expires_at: datetime | None = None) -> tuple[str, ApiKey]:
    return make_key("CI", role, frozenset(collections) or None, NOW, expires_at)


def test_a_role_includes_those_below_it() -> None:
    order = [Role.READ, Role.WRITE, Role.ADMIN]
    for one in order:
        assert [one.includes(other) for other in order] == [order.index(other) <= order.index(one) for other in order]


def test_a_key_has_its_form_and_is_not_kept() -> None:
    key, kept = a_key()
    assert key.startswith(f"shoal_{kept.id}_")
    assert key_id(key) == kept.id
    assert kept.matches(key)
    assert key.rpartition("_")[2] not in json.dumps(keys_to_record([kept]))
    assert len(key.rpartition("_")[2]) == 43
    assert a_key()[0] != key


@pytest.mark.parametrize("text", ["", "shoal_", "shoal_short_secret", "Bearer x", "shoal_" + "a" * 10 + "_" + "b" * 44])
def test_what_is_no_key_has_no_id(text: str) -> None:
    assert key_id(text) is None


@pytest.mark.parametrize("name", ["", " x", "two\nlines", "x" * 61, "\u202eevil"])
def test_a_name_is_one_line(name: str) -> None:
    with pytest.raises(InvalidField, match="name"):
        make_key(name, Role.READ, None, NOW, None)


def test_a_scope_has_collections_and_an_expiry_lies_ahead() -> None:
    with pytest.raises(InvalidName):
        make_key("x", Role.READ, frozenset({"No Such"}), NOW, None)
    with pytest.raises(InvalidField, match="expires"):
        make_key("x", Role.READ, None, NOW, NOW)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("90d", NOW + timedelta(days=90)),
        ("12h", NOW + timedelta(hours=12)),
        ("8w", NOW + timedelta(weeks=8)),
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T10:00:00+02:00", datetime(2027, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_expiry(text: str, time: datetime) -> None:
    assert expiry(text, NOW) == time


@pytest.mark.parametrize("text", ["soon", "", "-1d", "90", "1y"])
def test_what_is_no_expiry(text: str) -> None:
    with pytest.raises(InvalidField, match="90d"):
        expiry(text, NOW)


@given(
    st.lists(
        st.builds(
            lambda role, scope, expires: make_key("n", role, scope, NOW, expires)[1],
            st.sampled_from(Role),
            st.none() | st.frozensets(st.sampled_from(["a", "b", "c"]), min_size=1),
            st.none() | st.just(NOW + timedelta(days=1)),
        ),
        max_size=4,
    )
)
def test_keys_survive_their_record(keys: Sequence[ApiKey]) -> None:
    assert keys_from_record(json.loads(json.dumps(keys_to_record(keys)))) == tuple(keys)


def test_a_scope_that_is_written_wrongly_is_not_made_larger() -> None:
    record = keys_to_record([a_key()[1]])
    record["keys"][0]["collections"] = "photos"
    with pytest.raises(TypeError):
        keys_from_record(record)
    record["keys"][0]["collections"] = []
    [key] = keys_from_record(record)
    assert key.collections == frozenset()


async def test_without_keys_everybody_may_do_everything() -> None:
    access = await access_with()
    caller = access.identify(None, None, "127.0.0.1")
    assert (caller.id, caller.role, caller.collections, caller.authenticated) == (
        "address:127.0.0.1",
        Role.ADMIN,
        None,
        False,
    )


async def test_with_a_key_everybody_needs_one() -> None:
    key, kept = a_key(Role.WRITE, "photos")
    access = await access_with(kept)
    caller = access.identify(key, None, "127.0.0.1")
    assert caller == Caller(f"key:{kept.id}", "CI", Role.WRITE, frozenset({"photos"}))
    for wrong in (None, "", "x", key[:-1], key[:-1] + ("a" if key[-1] != "a" else "b"), a_key()[0]):
        with pytest.raises(WrongCredentials) as raised:
            access.identify(wrong, None, "127.0.0.1")
        assert not wrong or wrong not in str(raised.value)


async def test_keys_expire_and_are_revoked() -> None:
    key, kept = a_key(expires_at=NOW + timedelta(hours=1))
    assert (await access_with(kept, at=NOW + timedelta(minutes=59))).identify(key, None, "x").name == "CI"
    with pytest.raises(WrongCredentials, match="expired at 2026-05-01T01:00:00Z"):
        (await access_with(kept, at=NOW + timedelta(hours=1))).identify(key, None, "x")
    with pytest.raises(WrongCredentials, match="was revoked"):
        (await access_with(kept.revoked(NOW))).identify(key, None, "x")
    # Whoever has no more than the id learns nothing of that.
    forged = key[:-43] + "x" * 43
    with pytest.raises(WrongCredentials, match="the API key is not valid"):
        (await access_with(kept.revoked(NOW))).identify(forged, None, "x")


async def test_taking_all_keys_away_opens_nothing() -> None:
    key, kept = a_key()
    source = Kept(kept)
    access = Access(source, clock=lambda: NOW)
    await access.load()
    source.keys = ()
    await access.load()
    for presented in (None, key):
        with pytest.raises(WrongCredentials):
            access.identify(presented, None, "x")


async def test_the_first_key_counts_at_once() -> None:
    source = Kept()
    access = Access(source, clock=lambda: NOW)
    await access.load()
    anybody = access.identify(None, None, "x")
    access.check_still(anybody)
    source.keys = (a_key()[1],)
    await access.load()
    with pytest.raises(WrongCredentials):
        access.identify(None, None, "x")
    with pytest.raises(WrongCredentials, match="since"):
        access.check_still(anybody)


async def test_a_stream_ends_with_its_key() -> None:
    key, kept = a_key()
    source = Kept(kept)
    access = Access(source, clock=lambda: NOW)
    await access.load()
    caller = access.identify(key, None, "x")
    access.check_still(caller)
    source.keys = (kept.revoked(NOW),)
    await access.load()
    with pytest.raises(WrongCredentials, match="revoked"):
        access.check_still(caller)


async def test_a_stream_ends_when_its_key_may_do_less() -> None:
    source = Kept(a_key(Role.WRITE, "a", "b")[1])
    assert source.keys is not None
    [kept] = source.keys
    access = Access(source, clock=lambda: NOW)
    await access.load()
    caller = Caller(f"key:{kept.id}", kept.name, kept.role, kept.collections)
    access.check_still(caller)
    for less in (replace(kept, role=Role.READ), replace(kept, collections=frozenset({"a"}))):
        source.keys = (less,)
        await access.load()
        with pytest.raises(WrongCredentials, match="was changed"):
            access.check_still(caller)


async def test_certificates() -> None:
    access = await access_with(certificate_role=Role.WRITE)
    assert access.identify(None, "scanner", "x") == Caller("certificate:scanner", "scanner", Role.WRITE)
    with pytest.raises(WrongCredentials):
        access.identify(None, None, "x")
    with pytest.raises(WrongCredentials):
        (await access_with(key_required=True)).identify(None, "scanner", "x")


async def test_failures_are_limited_but_shut_nobody_out(caplog: pytest.LogCaptureFixture) -> None:
    key, kept = a_key()
    access = await access_with(kept)
    with caplog.at_level(logging.WARNING):
        for _ in range(FAILURES):
            with pytest.raises(WrongCredentials):
                access.identify("shoal_wrong", None, "192.0.2.1")
        for _ in range(50):
            with pytest.raises(Overloaded) as raised:
                access.identify("shoal_wrong", None, "192.0.2.1")
            assert raised.value.retry_after_s > 0
    assert len(caplog.records) == FAILURES
    assert access.identify(key, None, "192.0.2.1").name == "CI"
    with pytest.raises(WrongCredentials):
        access.identify("shoal_wrong", None, "192.0.2.2")


async def test_who_it_is_costs_next_to_nothing() -> None:
    """At most 50 microseconds a call; on an idle machine it is about 3."""
    keys = [a_key() for _ in range(1000)]
    access = await access_with(*(kept for _, kept in keys))
    best = min(_seconds_each(access, keys[:200]) for _ in range(5))
    assert best < 50e-6


def _seconds_each(access: Access, keys: Sequence[tuple[str, ApiKey]]) -> float:
    began = time.perf_counter()
    for key, _ in keys:
        access.identify(key, None, "127.0.0.1")
    return (time.perf_counter() - began) / len(keys)


async def test_keys_are_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = KeyFile(tmp_path / "keys.json")
    first, second = a_key(), a_key()
    file.change(lambda there: (*there, first[1]))
    access = Access(KeyFile(tmp_path / "keys.json"), clock=lambda: NOW)
    async with access.following(0.01):
        assert access.identify(first[0], None, "x")
        file.change(lambda there: (*there, second[1]))
        await _until(lambda: _gets_in(access, second[0]))
        assert access.identify(first[0], None, "x"), "two keys are valid at once"
        # Half of a file: what was known before still holds, and the log says so.
        (tmp_path / "keys.json").write_text('{"version": 1, "keys": [')
        with caplog.at_level(logging.ERROR):
            for _ in range(500):
                await asyncio.sleep(0.01)
                if caplog.records:
                    break
        assert "the API keys stay as they were" in caplog.text
        assert access.identify(first[0], None, "x")
        (tmp_path / "keys.json").unlink()
        await _until(lambda: not _gets_in(access, first[0]))


async def test_a_key_is_revoked_though_the_file_could_not_be_read_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where no more files can be opened, or where the file gets its owner after its content."""
    file = KeyFile(tmp_path / "keys.json")
    key, kept = a_key()
    file.change(lambda there: (*there, kept))
    access = Access(KeyFile(tmp_path / "keys.json"), clock=lambda: NOW)
    async with access.following(0.01):
        file.change(lambda there: tuple(each.revoked(NOW) for each in there))
        with monkeypatch.context() as patched, caplog.at_level(logging.ERROR):
            patched.setattr(Path, "read_text", _too_many_files)
            await _until(lambda: bool(caplog.records))
            await asyncio.sleep(0.1)
            assert len(caplog.records) == 1, "the same is told once"
            assert access.identify(key, None, "x")
        await _until(lambda: not _gets_in(access, key))


def _too_many_files(path: Path, *_: object, **__: object) -> str:
    raise OSError(errno.EMFILE, "Too many open files", str(path))


def _gets_in(access: Access, key: str) -> bool:
    try:
        access.identify(key, None, "x")
    except WrongCredentials:
        return False
    return True


async def _until(holds: Callable[[], bool]) -> None:
    """Waits until it does."""
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to be")


def test_the_file_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keys.json"
    file = KeyFile(path)
    assert file.read() == ()
    file.change(lambda there: (*there, a_key()[1]))
    assert path.stat().st_mode & 0o777 == 0o600

    def fail(there: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        raise InvalidField("ID", "no")

    with pytest.raises(InvalidField):
        file.change(fail)
    assert len(file.read()) == 1
    assert [each.name for each in path.parent.glob("*.tmp")] == []


@pytest.mark.parametrize("content", ["", "[]", '{"version": 2, "keys": []}', '{"version": 1, "keys": [{"id": "x"}]}'])
def test_a_file_that_cannot_be_read_says_which(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(StoreIncompatible, match="SHOAL_KEYS_FILE") as raised:
        KeyFile(path).read()
    assert str(path) in raised.value.message


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderNotWritable):
        KeyFile(tmp_path / "file" / "keys.json").change(lambda there: there)


def test_refusals_say_who_what_and_what_is_needed() -> None:
    caller = Caller("key:abc", "CI", Role.READ, frozenset({"a"}))
    check_role(caller, Role.READ, "look")
    check_collections(caller, ["a"], "look")
    with pytest.raises(NotPermitted, match=r"key abc \(CI\) may not write: that needs the role write"):
        check_role(caller, Role.WRITE, "write")
    with pytest.raises(NotPermitted, match="look for collection 'b'"):
        check_collections(caller, ["a", "b"], "look")
    with pytest.raises(NotPermitted, match="all collections"):
        check_everywhere(caller, "look")


@given(st.floats(0.1, 1000), st.integers(1, 50), st.lists(st.floats(0, 5), max_size=60))
def test_a_bucket_gives_no_more_than_it_gets(rate: float, burst: int, pauses: list[float]) -> None:
    now = 100.0
    bucket = TokenBucket(rate, burst, now)
    given_out = 0
    for pause in pauses:
        now += pause
        wait = bucket.take(now)
        assert wait >= 0
        given_out += wait == 0
    assert given_out <= burst + rate * (now - 100.0) + 1e-6


def test_a_bucket_says_how_long_to_wait() -> None:
    bucket = TokenBucket(2, 3, 0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(0.0) == pytest.approx(0.5)
    assert bucket.take(0.4) == pytest.approx(0.1)
    assert bucket.take(0.5) == 0


def test_each_caller_has_limits_of_their_own() -> None:
    now = [0.0]
    counted = CallerLimits(Limits(rate_per_s=1, burst=2, max_streams=1), lambda: now[0])
    counted.admit("one")
    counted.admit("one")
    with pytest.raises(Overloaded, match="1 calls a second") as raised:
        counted.admit("one")
    assert 1 <= raised.value.retry_after_s < 1.01
    counted.admit("two")
    now[0] += 1.01
    counted.admit("one")

    with counted.stream("one"):
        with pytest.raises(Overloaded, match="1 open streams"), counted.stream("one"):
            pass
        with counted.stream("two"):
            pass
    with counted.stream("one"):
        pass


async def test_each_caller_has_a_share_while_a_call_is_under_way() -> None:
    counted = CallerLimits(Limits(max_calls=2))
    with counted.call("one") as share, counted.call("one") as same:
        assert share is same
        with pytest.raises(Overloaded, match="2 calls at once"), counted.call("one"):
            pass
        with counted.call("two") as another:
            assert another is not share
    with counted.call("one") as later:
        assert later is not share, "it was kept without a call"


def test_strangers_take_no_more_than_some_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_REMEMBERED", 10)
    buckets = Buckets(1, 1, lambda: 0.0)
    for number in range(100):
        buckets.take(str(number))
    assert len(buckets) == 10


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:4711", "192.0.2.1"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("ipv6:%5B2001:db8::1%5D:4711", "2001:db8::/64"),
        ("ipv6:[2001:db8::2]:1", "2001:db8::/64"),
        ("ipv6:[::ffff:192.0.2.1]:1", "192.0.2.1"),
        ("ipv6:[fe80::1%25eth0]:1", "fe80::/64"),
        ("unix:", "unix"),
        ("ipv4:nonsense:1", "ipv4:nonsense:1"),
    ],
)
def test_addresses(peer: str, address: str) -> None:
    assert address_of(peer) == address


def test_whose_correction_it_is_cannot_be_made_up() -> None:
    assert author_of("anna") == "anna"
    token = CALLER.set(Caller("key:abc", "CI", Role.WRITE))
    try:
        assert author_of("") == "(as CI)"
        assert author_of("anna") == "anna (as CI)"
        assert author_of("anna (as root)") == "anna (as root) (as CI)"
        with pytest.raises(InvalidField, match="192 fit"):
            author_of("x" * 193)
    finally:
        CALLER.reset(token)

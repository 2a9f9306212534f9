"""Rights and how they move: every rule of specs/7-authority.md, 7.1 and 7.2, that one machine alone can break."""

from collections.abc import Iterator
from typing import Final

import pytest

from protocols.authority import (
    Authority,
    AuthorityChanged,
    AuthorityPolicy,
    Reason,
    owner_among,
)
from protocols.errors import UsageError
from protocols.link.peers import PeerRecord, PeerState
from protocols.rights import AUTHORITY, WHO, RightEvent, RightState
from specs.airlink.authority import AuthorityAction as Do
from specs.airlink.authority import AuthorityRequest, AuthorityState, Right
from specs.airlink.command import Result
from specs.airlink.numbers import NOBODY
from specs.registry import Role

RC, OTHER_RC, MOBILE, CLOUD = (bytes((number,)) * 16 for number in (1, 2, 3, 4))
PEERS: Final = {RC: Role.RC, OTHER_RC: Role.RC, MOBILE: Role.MOBILE, CLOUD: Role.CLOUD}
FLIGHT, PAYLOAD = Right.FLIGHT, Right.PAYLOAD


def fresh(policy: AuthorityPolicy | None = None, now: float = 100.0) -> Authority:
    authority = Authority(policy or AuthorityPolicy(owner=RC))
    for key_id, role in PEERS.items():
        authority.attach(key_id, role, now)
    return authority


def ask(
    authority: Authority, who: bytes, action: Do, peer: bytes = NOBODY, *, right: Right = FLIGHT, now: float = 100.0
) -> Result:
    return authority.request(who, AuthorityRequest(action, right, peer), now).result


def held(policy: AuthorityPolicy | None = None) -> Authority:
    """RC has the flight right."""
    authority = fresh(policy)
    assert ask(authority, RC, Do.REQUEST) is Result.DONE
    return authority


def offered() -> Authority:
    """RC has offered the flight right to MOBILE."""
    authority = held()
    assert ask(authority, RC, Do.OFFER, MOBILE) is Result.DONE
    return authority


def events(authority: Authority) -> list[AuthorityChanged]:
    def every() -> Iterator[AuthorityChanged]:
        while (event := authority.next_event()) is not None:
            yield event

    return list(every())


# --- 7.1 ----------------------------------------------------------------------------------------


def test_au_2_nobody_holds_anything_at_first() -> None:
    authority = fresh()
    assert [authority.holder(right) for right in Right] == [None, None]
    assert authority.state() == AuthorityState(0, 0, 0, NOBODY, NOBODY, NOBODY, NOBODY)
    assert not any(authority.holds(peer, right, 100.0) for peer in PEERS for right in Right)


def test_au_2_the_two_rights_move_by_themselves() -> None:
    authority = held()
    assert ask(authority, MOBILE, Do.REQUEST, right=PAYLOAD) is Result.DONE
    assert (authority.holder(FLIGHT), authority.holder(PAYLOAD)) == (RC, MOBILE)
    assert ask(authority, MOBILE, Do.RELEASE, right=PAYLOAD) is Result.DONE
    assert (authority.holder(FLIGHT), authority.holder(PAYLOAD)) == (RC, None)


def test_au_3_only_roles_that_the_policy_names() -> None:
    authority = fresh()
    assert ask(authority, CLOUD, Do.REQUEST) is Result.NOT_ALLOWED
    assert authority.holder(FLIGHT) is None
    assert ask(authority, RC, Do.REQUEST) is Result.DONE
    assert ask(authority, RC, Do.OFFER, CLOUD) is Result.INVALID
    configured = fresh(AuthorityPolicy(roles={FLIGHT: frozenset({Role.CLOUD})}))
    assert ask(configured, CLOUD, Do.REQUEST) is Result.DONE
    assert ask(configured, RC, Do.REQUEST, right=PAYLOAD) is Result.NOT_ALLOWED


def test_au_3_a_peer_without_a_link_holds_nothing() -> None:
    assert ask(fresh(), bytes(range(16)), Do.REQUEST) is Result.NOT_ALLOWED


def record(key_id: bytes, role: Role, state: PeerState = PeerState.PAIRED) -> PeerRecord:
    return PeerRecord(key_id, b"public", "P256", role, bytes(32), state, 0)


def test_au_4_the_owner_is_configured_or_the_only_remote_controller() -> None:
    rc, other, mobile = record(RC, Role.RC), record(OTHER_RC, Role.RC), record(MOBILE, Role.MOBILE)
    assert owner_among([mobile, rc]) == RC
    assert owner_among([mobile]) is None
    assert owner_among([rc, other]) is None
    assert owner_among([rc, record(OTHER_RC, Role.RC, PeerState.REVOKED)]) == RC
    assert owner_among([record(RC, Role.RC, PeerState.PENDING)]) is None
    authority = fresh(AuthorityPolicy())
    assert ask(authority, RC, Do.OVERRIDE) is Result.NOT_ALLOWED
    authority.owner = owner_among([rc])
    assert ask(authority, RC, Do.OVERRIDE) is Result.DONE


def test_au_4_a_revoked_owner_is_none() -> None:
    authority = fresh()
    authority.forget(RC, 100.0)
    authority.attach(RC, Role.RC, 100.0)
    assert authority.owner is None
    assert ask(authority, RC, Do.OVERRIDE) is Result.NOT_ALLOWED


@pytest.mark.parametrize(
    "wrong",
    [{"offer_s": 0.0}, {"holder_timeout_s": -1.0}, {"waiting_s": 0.0}, {"owner": b"short"},
     {"roles": {FLIGHT: frozenset({Role.DRONE})}}],
)  # fmt: skip
def test_a_policy_makes_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="authority"):
        AuthorityPolicy(**wrong)  # type: ignore[arg-type]


# --- the table ----------------------------------------------------------------------------------


def test_au_5_what_is_not_in_the_table_changes_nothing() -> None:
    authority = held()
    before = authority.state()
    assert ask(authority, RC, Do.CANCEL) is Result.NOT_NOW
    assert authority.state() == before
    free = fresh()
    assert ask(free, RC, Do.REVOKE) is Result.NOT_NOW
    assert free.state().changes == 0


def test_au_5_every_state_and_event_of_the_table_is_used() -> None:
    assert {state for state, _ in AUTHORITY} == set(RightState) == set(AUTHORITY.values())
    assert {event for _, event in AUTHORITY} == set(RightEvent)
    assert set(WHO) == set(Do)
    assert {action.name for action in Do} <= {event.name for event in RightEvent}


@pytest.mark.parametrize(
    ("action", "peer"),
    [(Do.OFFER, MOBILE), (Do.RELEASE, NOBODY), (Do.CANCEL, NOBODY), (Do.ACCEPT, RC), (Do.DECLINE, NOBODY),
     (Do.REVOKE, NOBODY), (Do.OVERRIDE, NOBODY)],
)  # fmt: skip
def test_au_6_everybody_else_is_not_allowed(action: Do, peer: bytes) -> None:
    authority = offered()
    before = authority.state()
    assert ask(authority, OTHER_RC, action, peer) is Result.NOT_ALLOWED
    assert authority.state() == before
    assert authority.holder(FLIGHT) == RC


def test_au_6_the_candidate_is_not_the_holder() -> None:
    authority = offered()
    for action in (Do.RELEASE, Do.CANCEL, Do.REVOKE, Do.OVERRIDE):
        assert ask(authority, MOBILE, action) is Result.NOT_ALLOWED
    assert ask(authority, MOBILE, Do.OFFER, OTHER_RC) is Result.NOT_ALLOWED
    assert ask(authority, RC, Do.ACCEPT, RC) is Result.NOT_ALLOWED


# --- hand-over ----------------------------------------------------------------------------------


def test_au_7_a_hand_over_is_offered_and_accepted() -> None:
    authority = offered()
    state = authority.state()
    assert (state.flight_holder, state.flight_candidate) == (RC, MOBILE)
    assert authority.holds(RC, FLIGHT, 100.0)
    assert not authority.holds(MOBILE, FLIGHT, 100.0)
    events(authority)
    assert ask(authority, MOBILE, Do.ACCEPT, RC) is Result.DONE
    assert authority.holds(MOBILE, FLIGHT, 100.0)
    assert not authority.holds(RC, FLIGHT, 100.0)
    over = AuthorityChanged(FLIGHT, RC, MOBILE, Reason.HANDED_OVER, 100.0)
    assert events(authority) == list(authority.handed_over) == [over]
    assert authority.state().flight_candidate == NOBODY


@pytest.mark.parametrize("end", [Do.CANCEL, Do.RELEASE, Do.REVOKE, Do.OVERRIDE])
def test_au_7_an_offer_that_is_over_is_not_accepted(end: Do) -> None:
    authority = offered()
    assert ask(authority, RC, end) is Result.DONE
    assert ask(authority, MOBILE, Do.ACCEPT, RC) in {Result.NOT_ALLOWED, Result.NOT_NOW}
    assert authority.holder(FLIGHT) != MOBILE
    assert not authority.handed_over


def test_au_7_a_declined_offer_is_over() -> None:
    authority = offered()
    assert ask(authority, MOBILE, Do.DECLINE) is Result.DONE
    assert ask(authority, MOBILE, Do.ACCEPT, RC) is Result.NOT_ALLOWED
    assert authority.holder(FLIGHT) == RC


def test_au_7_a_replaced_offer_is_over() -> None:
    authority = offered()
    assert ask(authority, RC, Do.OFFER, OTHER_RC) is Result.DONE
    assert ask(authority, MOBILE, Do.ACCEPT, RC) is Result.NOT_ALLOWED
    assert ask(authority, OTHER_RC, Do.ACCEPT, RC) is Result.DONE


def test_au_7_the_acceptance_names_the_holder() -> None:
    authority = offered()
    assert ask(authority, MOBILE, Do.ACCEPT, OTHER_RC) is Result.NOT_NOW
    assert authority.holder(FLIGHT) == RC


def test_au_7_an_offer_lasts_its_time_however_late_the_timer_is() -> None:
    authority = offered()
    assert authority.next_deadline() == 110.0
    assert ask(authority, MOBILE, Do.ACCEPT, RC, now=110.0) is Result.NOT_ALLOWED
    assert authority.holder(FLIGHT) == RC
    in_time = offered()
    assert ask(in_time, MOBILE, Do.ACCEPT, RC, now=109.9) is Result.DONE


@pytest.mark.parametrize("candidate", [RC, CLOUD, bytes(range(16))])
def test_au_7_only_to_a_peer_that_could_take_it(candidate: bytes) -> None:
    authority = held()
    assert ask(authority, RC, Do.OFFER, candidate) is Result.INVALID
    assert authority.state().flight_candidate == NOBODY


def test_au_7_an_offer_to_one_whose_link_has_ended_is_over() -> None:
    authority = offered()
    authority.detach(MOBILE, 101.0)
    authority.attach(MOBILE, Role.MOBILE, 102.0)
    assert ask(authority, MOBILE, Do.ACCEPT, RC, now=103.0) is Result.NOT_ALLOWED
    assert authority.next_deadline() is None


# --- waiting and silence ------------------------------------------------------------------------


def test_au_8_who_wants_a_right_that_is_held_waits() -> None:
    authority = held()
    assert ask(authority, MOBILE, Do.REQUEST) is Result.STARTED
    assert ask(authority, RC, Do.REQUEST) is Result.DONE
    assert authority.holder(FLIGHT) == RC
    assert authority.state().flight_waiting == 1
    assert authority.next_deadline() == 110.0


def test_au_8_a_silent_holder_loses_the_right_while_somebody_waits() -> None:
    authority = held()
    ask(authority, MOBILE, Do.REQUEST)
    authority.heard(RC, 105.0)
    authority.heard(MOBILE, 114.0)  # does not count: it is not the holder
    authority.handle_deadline(114.9)
    assert authority.holder(FLIGHT) == RC
    events(authority)
    authority.handle_deadline(115.0)
    assert events(authority) == [AuthorityChanged(FLIGHT, RC, None, Reason.HOLDER_SILENT, 115.0)]
    assert not authority.holds(RC, FLIGHT, 115.0)


def test_au_8_without_anybody_who_waits_the_holder_keeps_it() -> None:
    authority = held()
    assert authority.next_deadline() is None
    assert authority.holds(RC, FLIGHT, 1_000_000.0)


def test_au_8_who_asks_after_a_long_silence_has_it_at_once() -> None:
    authority = held()
    events(authority)
    assert ask(authority, MOBILE, Do.REQUEST, now=110.0) is Result.DONE
    assert [event.reason for event in events(authority)] == [Reason.HOLDER_SILENT, Reason.REQUESTED]
    assert authority.holder(FLIGHT) == MOBILE
    assert not authority.handed_over


def test_au_8_a_new_holder_has_its_time() -> None:
    authority = held()
    ask(authority, OTHER_RC, Do.REQUEST, now=105.0)
    ask(authority, RC, Do.OFFER, MOBILE, now=106.0)
    assert ask(authority, MOBILE, Do.ACCEPT, RC, now=109.0) is Result.DONE
    authority.handle_deadline(118.9)
    assert authority.holder(FLIGHT) == MOBILE


def test_au_9_a_revoked_peer_holds_nothing() -> None:
    authority = offered()
    ask(authority, RC, Do.REQUEST, right=PAYLOAD)
    events(authority)
    authority.forget(RC, 101.0)
    assert [authority.holder(right) for right in Right] == [None, None]
    assert {event.reason for event in events(authority)} == {Reason.PEER_REVOKED}
    assert ask(authority, MOBILE, Do.ACCEPT, RC, now=101.0) is Result.NOT_ALLOWED
    candidate = offered()
    candidate.forget(MOBILE, 101.0)
    assert candidate.state().flight_candidate == NOBODY


def test_au_10_a_right_survives_its_holders_link() -> None:
    authority = held()
    authority.detach(RC, 101.0)
    assert authority.holder(FLIGHT) == RC
    authority.attach(RC, Role.RC, 105.0)
    assert authority.holds(RC, FLIGHT, 105.0)


def test_au_10_who_waits_and_is_gone_waits_no_more() -> None:
    authority = held()
    ask(authority, MOBILE, Do.REQUEST)
    authority.detach(MOBILE, 101.0)
    assert authority.state().flight_waiting == 0
    authority.handle_deadline(200.0)
    assert authority.holder(FLIGHT) == RC


# --- the owner, and the rest --------------------------------------------------------------------


def test_au_11_the_owner_overrides() -> None:
    authority = fresh()
    ask(authority, OTHER_RC, Do.REQUEST)
    ask(authority, OTHER_RC, Do.OFFER, MOBILE)
    events(authority)
    assert ask(authority, RC, Do.OVERRIDE) is Result.DONE
    assert events(authority) == [AuthorityChanged(FLIGHT, OTHER_RC, RC, Reason.OVERRIDDEN, 100.0)]
    assert authority.state().flight_candidate == NOBODY
    assert not authority.handed_over


def test_au_11_the_owner_revokes() -> None:
    authority = fresh()
    ask(authority, MOBILE, Do.REQUEST)
    events(authority)
    assert ask(authority, RC, Do.REVOKE) is Result.DONE
    assert events(authority) == [AuthorityChanged(FLIGHT, MOBILE, None, Reason.REVOKED, 100.0)]


def test_au_11_an_owner_that_overrides_itself_changes_nobody() -> None:
    authority = offered()
    events(authority)
    assert ask(authority, RC, Do.OVERRIDE) is Result.DONE
    assert events(authority) == []
    assert authority.state().flight_candidate == NOBODY


@pytest.mark.parametrize("action", list(Do))
def test_au_12_a_peer_is_named_where_one_is_needed_and_nowhere_else(action: Do) -> None:
    authority = offered()
    before = authority.state()
    needs_one = action in {Do.OFFER, Do.ACCEPT}
    assert ask(authority, RC, action, NOBODY if needs_one else MOBILE) is Result.INVALID
    assert authority.state() == before


def test_au_13_a_right_that_is_free_is_given_to_nobody() -> None:
    authority = held()
    ask(authority, MOBILE, Do.REQUEST)
    assert ask(authority, RC, Do.RELEASE) is Result.DONE
    authority.handle_deadline(101.0)
    assert authority.holder(FLIGHT) is None
    assert ask(authority, MOBILE, Do.REQUEST) is Result.DONE
    assert authority.state().flight_waiting == 0


def test_au_13_waiting_ends_by_itself_or_is_withdrawn() -> None:
    authority = held(AuthorityPolicy(waiting_s=5.0))
    ask(authority, MOBILE, Do.REQUEST)
    ask(authority, OTHER_RC, Do.REQUEST)
    assert ask(authority, MOBILE, Do.CANCEL) is Result.DONE
    assert authority.state().flight_waiting == 1
    assert ask(authority, MOBILE, Do.CANCEL) is Result.NOT_ALLOWED
    authority.handle_deadline(105.0)
    assert authority.state().flight_waiting == 0
    authority.handle_deadline(200.0)
    assert authority.holder(FLIGHT) == RC


def test_au_14_changes_count_what_peers_can_see() -> None:
    authority = held()
    seen = authority.changes
    ask(authority, MOBILE, Do.REQUEST)
    assert authority.changes == seen + 1
    ask(authority, MOBILE, Do.REQUEST, now=101.0)  # again: nothing new to see
    authority.heard(RC, 101.0)
    assert authority.changes == seen + 1
    ask(authority, RC, Do.OFFER, MOBILE, now=101.0)
    assert authority.changes == seen + 2
    authority.changes = 2**32 + 5
    assert authority.state().changes == 5

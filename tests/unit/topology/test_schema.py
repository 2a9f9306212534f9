"""A topology file: what it means, and every problem of it with its line."""

from pathlib import Path
from typing import Final

import pytest

from nodes.topology import check, find, links_of, load, parse, shipped, source_of
from nodes.topology.page import PAGE, page
from nodes.topology.rules import MAX_NODES
from protocols.errors import ConfigError, UsageError
from specs.registry import Role

HEAD: Final = '[topology]\nname = "mine"\n'
DRONE: Final = '[nodes.drone]\nrole = "drone"\n'
RC: Final = '[nodes.rc]\nrole = "rc"\ndrones = ["drone"]\n'
PAIR: Final = HEAD + DRONE + RC
MOBILE: Final = '[nodes.mobile]\nrole = "mobile"\nrc = "rc"\n'
CLOUD: Final = '[nodes.cloud]\nrole = "cloud"\n'
WITH_CLOUD: Final = f'{PAIR}{MOBILE}cloud = "cloud"\n{CLOUD}'
OTHER: Final = '[nodes.b]\nrole = "drone"\n'
BOTH: Final = '[nodes.rc]\nrole = "rc"\ndrones = ["drone", "b"]\n'
TURNS: Final = 'plays = "turns"\npartner = "{}"\n'
DUAL: Final = f'{PAIR}{TURNS.format("other")}[nodes.other]\nrole = "rc"\ndrones = ["drone"]\n{TURNS.format("rc")}'


def problems_of(text: str, tmp_path: Path) -> list[str]:
    file = tmp_path / "t.toml"
    file.write_text(text, encoding="utf-8")
    return [problem.located("t") for problem in check(file)]


@pytest.mark.parametrize("text", [PAIR, PAIR + MOBILE, WITH_CLOUD, WITH_CLOUD + 'drones = ["drone"]\n', DUAL])
def test_what_can_be_used(text: str, tmp_path: Path) -> None:
    assert problems_of(text, tmp_path) == []
    assert load(tmp_path / "t.toml").name == "mine"


def test_four_are_shipped_and_each_is_called_like_its_file() -> None:
    assert shipped() == ["dock", "dual", "single", "swarm"]
    for name in shipped():
        found = find(name)
        assert (found.name, found.topology.seconds) == (name, 30)
        assert found.topology.description


def test_links_are_made_by_who_names_the_other_end() -> None:
    rows = [(link.name, link.maker, link.answerer, link.carrier) for link in links_of(find("single"))]
    assert rows == [
        ("drone-rc", "rc", "drone", "udp"),
        ("rc-mobile", "mobile", "rc", "tcp"),
        ("mobile-cloud", "mobile", "cloud", "https"),
        ("mobile-drone", "mobile", "drone", "relay"),
        ("cloud-drone", "cloud", "drone", "relay"),
    ]
    assert [(link.name, link.maker) for link in links_of(find("dock"))] == [
        ("drone-rc", "dock"),
        ("rc-cloud", "dock"),
        ("cloud-drone", "cloud"),
    ]
    assert find("swarm").of_role(Role.DRONE) == ("alpha", "bravo", "charlie")


KEYS: Final = {
    f"{HEAD}[nodes.drone]\nrol = 'drone'\n": 't:4: unknown key "rol" in [nodes.drone]; did you mean "role"?',
    f"{HEAD}[node.drone]\nrole = 'drone'\n": 't:3: unknown table [node]; did you mean "nodes"?',
    f"plays = 1\n{PAIR}": 't:1: unknown key "plays" outside of any table; it belongs below [nodes]',
    f"{HEAD}[nodes]\ndrone = 3\n": "t:4: [nodes.drone] must be a table, not 3",
    f"nodes = 3\n{HEAD}": "t:1: [nodes] must hold tables, each with a name of its own, not 3",
    f"{HEAD}[nodes.drone]\n": '"role" is missing in [nodes.drone]',
    f"{PAIR}plays = 'sings'\n": 't:8: "plays" in [nodes.rc] must be "none", "circuit" or "turns", not "sings"',
    f"{HEAD}{DRONE}carrier = 'tpc'\n": 't:5: "carrier" in [nodes.drone] must be "udp" or "tcp", not "tpc"; did',
    f"{HEAD}{DRONE}[nodes.rc]\nrole = 'rc'\ndrones = []\n": "must be a list of at least one name",
    f"{HEAD}{DRONE}[nodes.rc]\nrole = 'rc'\ndrones = [\n'drone',\n'drone']\n": "t:9: ",
    '[topology]\nname = "Mine"\n': 't:2: "name" in [topology] must be a name of at most 32 small letters',
    "[topology]\nname = 'x'\nsuite = 'P256'\n": 't:3: "suite" in [topology] must be ',
    f"{PAIR}[expects]\nflights = -1\n": 't:9: "flights" in [expects] must be a whole number from 0',
    f"{PAIR}[expects]\nlandings = 1\n": 't:9: unknown key "landings" in [expects]',
    "[topology": "t:1: this is not valid TOML",
    DRONE: 't: "name" is missing in [topology]',
}
RULES: Final = {
    HEAD: "t: a topology has at least a drone and an rc",
    f"{PAIR}[nodes.B]\nrole = 'drone'\n": "t:8: the name of a node must be a name of at most 32 small letters",
    f"{HEAD}{DRONE}drones = ['rc']\n{RC}": 't:5: "drones" in [nodes.drone] is for role "rc" or "mobile" or "cloud"',
    f"{PAIR}carrier = 'tcp'\n": 't:8: "carrier" in [nodes.rc] is for role "drone", and this is "rc"',
    f"{HEAD}{DRONE}[nodes.rc]\nrole = 'rc'\n": 't:5: "drones" is missing in [nodes.rc]: a node of role "rc" needs it',
    f"{PAIR}[nodes.mobile]\nrole = 'mobile'\n": 't:8: "rc" is missing in [nodes.mobile]',
    PAIR.replace('["drone"]', '["drohne"]'): 'names "drohne", which is not there; did you mean "drone"?',
    f"{PAIR}[nodes.mobile]\nrole = 'mobile'\nrc = 'drone'\n": 'names "drone": its role is "drone", and must be "rc"',
    f"{PAIR}cloud = 'drone'\n": 't:8: "cloud" in [nodes.rc] names "drone": its role is "drone", and must be "cloud"',
    f"{PAIR}[nodes.b]\nrole = 'drone'\n": 't:8: nobody has a link to [nodes.b]: name it in "drones" of an rc',
    f"{PAIR}{CLOUD}": 't:8: nobody has a link to [nodes.cloud]: name it in "cloud" of a mobile or an rc',
    f"{PAIR}{CLOUD}drones = ['drone']\n": 't:10: "drones" in [nodes.cloud] names "drone", to which there is no way',
    f"{PAIR}plays = 'turns'\n": 't:8: "partner" in [nodes.rc] is for plays = "turns", which needs it',
    f"{PAIR}partner = 'rc'\n": 't:8: "partner" in [nodes.rc] is for plays = "turns", which needs it',
    f"{PAIR}{TURNS.format('rc')}": 't:9: "partner" in [nodes.rc] names "rc": it must be another node',
    f"{PAIR}{TURNS.format('cr')}": 't:9: "partner" in [nodes.rc] names "cr", which is not there',
    f"{PAIR}{MOBILE}plays = 'circuit'\n": 't:11: "plays" in [nodes.mobile]: there is no drone to fly',
    f"{PAIR}[expects]\nhand_overs = 1\n": 't:9: "hand_overs" in [expects]: nobody hands a right over',
    f"{WITH_CLOUD}[expects]\nflights = 1\n": 't:15: "flights" in [expects]: no flight reaches a cloud',
    f"{HEAD}{DRONE}{OTHER}carrier = 'tcp'\n{BOTH}": '"drones" in [nodes.rc] differ in "carrier": drone udp, b tcp;',
    f"{HEAD}{DRONE}{OTHER}{BOTH}{MOBILE}drones = ['b']\n": (
        't:13: "drones" in [nodes.mobile] names "b": a mobile speaks with the first drone of its rc "rc"'
    ),
    f"{WITH_CLOUD}drones = ['drone']\n[nodes.dock]\nrole = 'rc'\ndrones = ['drone']\ncloud = 'two'\n"
    "[nodes.two]\nrole = 'cloud'\ndrones = ['drone']\n": '"drone" seals its flights for one cloud, and [nodes.cloud]',
}


@pytest.mark.parametrize("text", [*KEYS, *RULES])
def test_a_problem_is_told_with_its_line(text: str, tmp_path: Path) -> None:
    found = problems_of(text, tmp_path)
    assert any((KEYS | RULES)[text] in each for each in found), found
    assert all(each.isprintable() for each in found)


def test_all_problems_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    mobile = MOBILE.replace('"rc"', '"cr"')
    text = f"{PAIR}carrier = 'tcp'\n{mobile}video = true\n"
    assert [each[:5] for each in problems_of(text, tmp_path)] == ["t:8: ", "t:11:", "t:12:"]


def test_the_first_problem_names_the_file_and_how_to_see_the_others() -> None:
    with pytest.raises(ConfigError, match=r"^f\.toml:1: .* \(and 1 more: aerolink topology check f\.toml\)$"):
        parse(b"x = 1\n[topology]\n", "f.toml")


def test_not_more_nodes_than_a_machine_has_room_for(tmp_path: Path) -> None:
    many = "".join(f"[nodes.m{number}]\nrole = 'mobile'\nrc = 'rc'\n" for number in range(MAX_NODES - 1))
    problems = problems_of(PAIR + many, tmp_path)
    assert any(f"a topology has at most {MAX_NODES} nodes, and this one has 65" in each for each in problems)


# --- files and names ----------------------------------------------------------------------------


def test_a_name_a_file_and_neither(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(PAIR)
    assert find(str(tmp_path / "t.toml")).name == "mine"
    assert source_of("dual")[0].startswith(b"# Two operators")
    with pytest.raises(UsageError, match=r'there is no topology "singel"; did you mean "single"\? \(a file, or one of'):
        find("singel")
    with pytest.raises(ConfigError, match=r"none\.toml: there is no such file"):
        find(str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match=r"no regular file; name a topology file"):
        load(tmp_path)
    assert [problem.text for problem in check(tmp_path / "none.toml")] == ["there is no such file"]


def test_the_page_is_made_from_the_schema() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "make it anew: python -m nodes.topology.page"

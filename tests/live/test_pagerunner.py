"""The runner of pages itself: a page that is true, and the same page with a mistake."""

import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import require_or_skip
from tests.live.pagerunner import PageError, Reader
from tests.live.pagesteps import End, Interrupt, Save, See, Type, steps

TOY: Final = """
Save this as `greet.sh`:

```sh greet.sh
trap 'echo bye; exit 130' INT
printf 'your code: '
read code
echo "thanks for $code"
while :; do read -t 0.05 || :; done
```

    $ indented blocks are not followed

```console one
$ echo hello; cd /; pwd
hello
/
$ cd ~; x=5
$ cat <<'END'
> first   line
> second
> third
> END
first ...
...
third
$ printf '\\033[1mcode\\033[0m 17-%s (new)\\n' "$x"
code <the-code> (new)
```

```console two stays
$ bash greet.sh
your code: <the-code>
```

Meanwhile `two` goes on:

```console one
$ echo <the-code>
17-5
$ printf 'to be\\rhidden'
hidden
```

```console two stays
thanks for 17-5
```

```console two
^C
bye
```

```console fails
$ false
```

```console skip
$ rm -rf /tmp/you-did-not
```
"""
MISTAKES: Final = {
    "another output": ("\nhello\n", "\nhullo\n", "'hullo' is to be seen, not 'hello'"),
    "an output too many": ("\n/\n", "\n/\nand more\n", "'and more' is to be seen, not the end"),
    "an output too few": ("hello\n/\n", "hello\n", "the page does not show '/'"),
    "a line that never comes": ("\nthird\n$", "\nfourth\n$", "'fourth' is to be seen, not the end"),
    "another line than asked for": ("your code: <", "your name: <", "waited to be asked 'your name: '"),
    "a command that fails": ("$ cd ~; x=5", "$ cd ~; x=5; false", "exit code 1"),
    "a command that should fail": ("$ false", "$ true", "exit code 0"),
    "a command that goes on": ("```console two\n^C\nbye", "```console two stays", "leaves this command running"),
    "two commands in one terminal": ("```console one\n$ echo <", "```console two\n$ echo <", "still runs"),
    "an end of nothing": ("```console fails\n$ false", "```console fails\n^C", "no command runs"),
    "a wrong end": ("\nbye\n", "\nciao\n", "'ciao' is to be seen, not"),
}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    if not (shutil.which("bash") and shutil.which("setsid")):
        require_or_skip("bash and setsid (Debian: bash, util-linux)")
    return tmp_path / "toy.md"


def test_a_true_page_is_followed_to_its_end(page: Path) -> None:
    page.write_text(TOY)
    reader = Reader(page, page.parent)
    reader.follow()
    assert reader.remembered == {"the-code": "17-5"}
    assert (page.parent / "greet.sh").read_text().startswith("trap")


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_is_found(kind: str, page: Path) -> None:
    right, wrong, complaint = MISTAKES[kind]
    assert right in TOY
    page.write_text(TOY.replace(right, wrong))
    with pytest.raises(PageError) as caught:
        Reader(page, page.parent, patience_s=0.5 if "asked" in kind else 20).follow()
    text = str(caught.value).partition("\n")[0]
    assert complaint in text
    number = int(text.split(":")[1])
    changed = page.read_text().partition(wrong)[0].count("\n") + 1
    assert changed - 1 <= number <= changed + 12, text


def test_steps_have_the_lines_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```toml a.toml\nx = 1\n```\n- in a list:\n\n  ```console b stays\n  $ c\n  d\n  ^C\n  $ e\n  ```\n"
    )
    assert steps(page) == [
        Save(2, "a.toml", "x = 1\n"),
        Type(7, "b", "c"),
        See(8, "b", "d"),
        Interrupt(9, "b"),
        End(10, "b", fails=False),
        Type(10, "b", "e"),
    ]

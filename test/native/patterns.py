"""docs/patterns.md and its Chinese twin: every call and command on them is run, and answers as the page says (run by run.py)."""
import json
import os
import re
import shlex
import subprocess

from run import ROOT, ask, test

PAGES = ("patterns.md", "patterns.zh.md")
# What an answer may say differently than the page, since it depends on what was done before.
LOOSE = {"token", "ticket", "id", "version", "revision", "registration", "session", "age_ms", "for_ms", "ids"}


def lines_of(page):
    text = open(os.path.join(ROOT, "docs", page), encoding="utf-8").read()
    return [line for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]


def learn(said, got, learned, where):
    """Is the answer what the page says? Numbers and names that stand for this cluster's own are learned."""
    if isinstance(said, dict) and isinstance(got, dict):
        assert said.keys() == got.keys(), "%s: the page has %s, the answer %s" % (where, sorted(said), sorted(got))
        for key in said:
            learn(said[key], got[key], learned, key)
    elif isinstance(said, list) and isinstance(got, list):
        assert len(said) == len(got), "%s: the page has %s, the answer %s" % (where, said, got)
        for one, other in zip(said, got):
            learn(one, other, learned, where)
    elif where in LOOSE:
        assert type(said) is type(got), "%s: the page has %s, the answer %s" % (where, said, got)
        learned[(where, said)] = got
    else:
        assert said == got, "%s: the page has %s, the answer %s" % (where, said, got)


def with_learned(body, learned):
    """The request, with this cluster's tokens and sessions in place of the page's."""
    more = {"tokens": "token"}
    for key, value in body.items():
        name = more.get(key, key)
        if isinstance(value, list):
            body[key] = [learned.get((name, x), x) for x in value]
        elif not isinstance(value, dict):
            body[key] = learned.get((name, value), value)
    return body


def call(c, words, said, learned):
    assert words[1].startswith("localhost:7450/v1/") and words[2] == "-d" and len(words) == 4, words
    operation = words[1].removeprefix("localhost:7450/v1/")
    answer = ask(c.http(), operation, **with_learned(json.loads(words[3]), learned))
    assert answer.status == 200, answer.body
    learn(json.loads(said.removeprefix("# ")), answer.body, learned, operation)


def command(c, line):
    prelude = 'parley() { "$BINARY" "$1" --server "$SERVER" "${@:2}"; }\n'
    environment = dict(os.environ, BINARY=os.path.abspath(c.binary), SERVER="127.0.0.1:%d" % c.http())

    done = subprocess.run(["bash", "-c", prelude + line], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode == 0, "exit code %d: %s" % (done.returncode, done.stdout)


@test(1)
def the_patterns_page_says_what_is(c):
    lines, learned, wrong = lines_of(PAGES[0]), {}, []
    for i, line in enumerate(lines):
        if line.startswith("# "):
            continue
        try:
            if line.startswith("curl "):
                call(c, shlex.split(line), lines[i + 1], learned)
            else:
                assert line.startswith("parley "), "neither curl nor parley"
                command(c, line)
        except (AssertionError, IndexError, ValueError) as error:
            wrong.append("%s\n    %s" % (line, error))
    assert not wrong, "\n".join(wrong)
    assert len(lines) > 40


@test(1)
def both_patterns_pages_show_the_same(c):
    assert lines_of(PAGES[0]) == lines_of(PAGES[1])


@test(1)
def every_demo_stands_on_the_patterns_page(c):
    listed = c.command("demo", "--json")
    demos = [row["demo"] for row in json.loads(listed.communicate(timeout=60)[0])]
    for page in PAGES:
        text = open(os.path.join(ROOT, "docs", page), encoding="utf-8").read()
        table = re.findall(r"^\| \[.*\| ([^|]*) \|$", text, re.M)
        named = set(re.findall(r"`([a-z]+)`", " ".join(table)))
        assert named >= set(demos) and len(demos) >= 9, "%s: %s, and there are %s" % (page, sorted(named), sorted(demos))

"""Shows that this test can fail: edited histories, and a system that is broken, must be called broken."""

import json
import os
import tempfile

import judge


def operation(client, op, key, call, value, **more):
    return dict({"client": client, "seq": call, "op": op, "key": key, "call": call, "return": call + 5, "outcome": "ok",
                 "value": value}, **more)


def good_history():
    """Short, with every kind of operation, and nothing wrong."""
    return [
        operation(1, "create", "r", 10, "a", version=0),
        operation(1, "write", "r", 20, "b", version=1),
        operation(2, "read", "r", 30, "b", version=1, consistency="linearizable"),
        operation(2, "cas", "r", 40, "c", version=2, expect=1),
        operation(1, "read", "r", 50, "c", version=2, consistency="linearizable"),
        operation(1, "add", "s", 60, "x"),
        operation(2, "contains", "s", 70, "x", found=True, consistency="linearizable"),
        operation(2, "read", "s", 80, ["x"], consistency="linearizable"),
        operation(1, "enqueue", "q", 90, "one"),
        operation(2, "dequeue", "q", 100, "one"),
        operation(1, "lock", "l", 110, "7"),
        operation(1, "fence", "l", 120, "7"),
        operation(1, "unlock", "l", 130, "7"),
        operation(2, "lock", "l", 140, "9"),
        operation(2, "fence", "l", 150, "9"),
    ]


# what is planted -> (place in the history, changes; None: the operation is left out)
PLANTED = {
    "a stale read": (4, {"value": "b", "version": 1}),
    "a register that lost a write": (4, {"value": "b", "version": 1, "call": 55}),
    "a set that lost an element": (7, {"value": []}),
    "an element not found": (6, {"found": False}),
    "an element out of nowhere": (7, {"value": ["x", "y"]}),
    "a queue that lost an element": (9, None),
    "an element taken twice": (8, {"op": "dequeue"}),
    "a token given twice": (13, {"value": "7"}),
    "a token that goes back": (13, {"value": "5"}),
    "a resource that takes an old token": (14, {"value": "5"}),
}
# What the checker of histories cannot know: that everything was taken from the queue at the end.
ONLY_HERE = ("a queue that lost an element",)


def violations(history):
    said = judge.Judgement(history)
    return {kind: said.counts[kind] for kind in judge.VIOLATIONS if said.counts[kind]}


def check_says(history):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(o) + "\n" for o in history)
        file.flush()
        return judge.checked(file.name)[0]


def planted(name):
    place, changes = PLANTED[name]
    history = good_history()
    if changes is None:
        del history[place]
    else:
        history[place].update(changes)
        history[place]["return"] = history[place]["call"] + 5
    return history


def edited_histories():
    """(name, right, what was said) for the good history and each planted mistake."""
    good = good_history()
    yield "the good history", not violations(good) and check_says(good) == "ok", "%s, check %s" % (
        violations(good), check_says(good))
    for name in PLANTED:
        found, check = violations(planted(name)), check_says(planted(name))
        right = found and (check == "violation" or name in ONLY_HERE)
        yield name, right, "%s, check %s" % (found, check)


def broken_system(options, run_system):
    """Three nodes that know nothing of each other, taken for one service by the clients."""
    options.fault, options.seconds = "none", 10
    run_system(options, "broken")
    with open(os.path.join(options.out, "broken.jsonl")) as file:
        row = json.loads(file.readline())
    found, check = {kind: row.get(kind) for kind in judge.VIOLATIONS}, row.get("check")
    yield "a service that is none", found["lost"] and found["stale"] and check == "violation", "%s, check %s" % (found, check)


def run(options, run_system):
    passed = failed = 0
    for cases in (edited_histories(), broken_system(options, run_system)):
        for name, right, said in cases:
            print("%s %s: %s" % ("ok  " if right else "FAIL", name, said), flush=True)
            passed, failed = passed + bool(right), failed + (not right)
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed else 0

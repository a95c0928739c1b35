#!/usr/bin/env python3
"""Plants the faults of table.txt, one at a time, and measures how much CPU time the checks need to notice each.

usage: run.py [--mutant NAME,...] [--seconds CPU] [--series 1..5] [--quick]
       (make mutants [MUTANT=NAME] [SECONDS=CPU] [QUICK=1])

Each mutant is the release build with one name of src/base/planted.h turned on: only the files that mention it are
compiled anew. Five series of seeds run the simulator until it fails; what counts is the median of their CPU times.
A fault that no simulated schedule can show is given to a unit test instead (the table says which, and why).
Results: docs/proof/mutants.jsonl, and the table docs/mutants.md made of it.
"""
import argparse
import concurrent.futures
import json
import os
import re
import resource
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = "build/mutants"
BASES = (10_000_000, 20_000_000, 30_000_000, 40_000_000, 50_000_000)
QUICK = ("ACK_BEFORE_FSYNC", "READ_WITHOUT_ROUND", "WATCH_AFTER_DATA")
AT_ONCE = 2
RUN_SECONDS = 60 # of CPU for one seed, which takes 0.1 to 3: beyond, something goes in a circle

# What a failure's text belongs to: the first row that matches.
CHECKS = (
    (r"two leaders in term", "one leader a term"),
    (r"has another committed batch|commits \d+\.\.\d+, but the last known", "committed never changes"),
    (r"have it on disk|on the media of", "committed stands on the disks of a majority"),
    (r"have that vote on disk", "a leader has a majority's durable votes"),
    (r"had voted for", "a vote is there after a restart"),
    (r"only entries of its own term", "a leader counts only entries of its own term"),
    (r"by the rules|copy.* of a machine", "every entry does what the rules written apart say"),
    (r"own save|restored from a snapshot", "a state that was saved is loaded again"),
    (r"another state at index|stands at index|nobody has committed", "equal digests at equal indexes"),
    (r"the stream of node|commands of a stream that come", "a stream goes on with its next number"),
    (r"had persisted up to", "what was durable is there after a restart"),
    (r"does not start", "a node starts again"),
    (r"ended itself", "a node ends itself only for an injected fault"),
    (r"went back from index", "no node goes back"),
    (r"applied twice", "a write is applied once"),
    (r"was refused (?!:)", "a refused write does not happen"),
    (r"behind a sync|had been told before", "reads behind sync, and writes, see what anyone was told"),
    (r"was acknowledged at zxid|is the entry of something else|has written something else",
     "an acknowledged write stands where it was said"),
    (r"held twice|is valid, and \d+ was known", "a lock is held once"),
    (r"asked first \(ticket", "who asked first is served first"),
    (r"its time lasts to", "a lock lasts its time"),
    (r"locks at once", "several locks at once: all or none"),
    (r"a number is given twice|ids would repeat|^sequence .* known when it asked", "a number is given once"),
    (r"^sequence .* key k\d+", "a key keeps its numbers"),
    (r"has given \d+ numbers", "a sequence moves on by what was given"),
    (r"runs twice|may not end its run|was told to run", "a key runs once at a time"),
    (r"^limit .*(are allowed in that time|permits are out)", "a limit is never exceeded"),
    (r"^limit ", "a limit's permits and blocks last"),
    (r"^queue: key .*(is out twice|ahead of|known when it)|^queue: what h", "a key's messages come in order, one at a time"),
    (r"^queue: .*(pushed twice|nobody pushed|there twice|never pushed)", "a message is pushed once"),
    (r"^queue: .*(acknowledged)", "what was acknowledged is done, and nothing else"),
    (r"^queue: ", "a message has its tries, and no more"),
    (r"^barrier: .* (may be|known when it asked|is told that it is in)", "barrier: all are there when a round begins"),
    (r"^barrier: ", "barrier: a round is over when all have left"),
    (r"^release: ", "a gradual release: one of two versions, by the labels"),
    (r"^latch ", "a latch counts each request once"),
    (r"^once: ", "one key, one answer"),
    (r"^config ", "configuration: versions and readers go forward"),
    (r"topic: .*(two members|known when it asked)", "a partition is read by one at a time"),
    (r"topic: .*(committed|is next)", "a group's offsets go forward, and skip nothing"),
    (r"topic: ", "a message stands at its place, once"),
    (r"counted, and \d+ was known|second result was|two runs stored|what none of its runs", "one run of a key stores"),
    (r"consumed twice|changed from t\d+ twice|entity e\d+|overwritten twice|value v0", "a guarded fact changes once"),
    (r"^counters?[: ]", "a counter is the sum of what was told"),
    (r"old token|^value v1", "an old fencing token is refused"),
    (r"an answer that none expects", "an operation gives only its own errors"),
    (r"expired at \d+ us, though", "no session expires early"),
    (r"was told that .* expired|asked for a new session", "expired is told only of what ended"),
    (r"naming: .*(version|got registration|is listed under|nobody is)", "naming: a registration stands, and versions never go back"),
    (r"ephemeral nodes of it are left|a claim of it .* is left|its permit .* is left|its instance .* is left|its place in a barrier is left|has ended before the list|came back to life", "ownership dies with its session, once"),
    (r"before the event |got an event|got event|must tell event|tells event|more than it watched|answered before the",
     "watch events: each once, in order, before the new data"),
    (r"out of order|waits for -?\d+|got an answer|ahead of it", "answers in the order of the requests"),
    (r"zxid went back|is not committed", "zxids of answers"),
    (r"it reads write|stands there|is told to be|in the answer of|version -?\d+ behind", "a read is what stood at its zxid"),
    (r"completed nothing|not all members reached|did not end", "liveness on a healed core"),
    (r"bytes of commands", "queues stay within their bounds"),
    (r"invariant|ensure", "an assertion"),
)


def say(text):
    print(text, flush=True)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def table():
    rows = []
    for line in read("test/mutants/table.txt").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != 4:
            sys.exit(f"mutants: a line of table.txt has {len(cells)} cells, not 4: {line}")
        rows.append(dict(zip(("name", "broken", "resembles", "check"), cells)))
    return rows


def mentions():
    """name -> files of src/ that mention it"""
    found = {}
    for folder, _, files in os.walk(os.path.join(ROOT, "src")):
        for name in sorted(files):
            path = os.path.relpath(os.path.join(folder, name), ROOT)
            if path == "src/base/planted.h":
                continue
            for fault in sorted(set(re.findall(r"\bPLANTED\((\w+)\)", read(path)))):
                if not path.endswith(".c"):
                    sys.exit(f"mutants: {path}: faults are planted in .c files only")
                found.setdefault(fault, []).append(path)
    return found


def check_names(rows, places):
    """the table, the header and the source name the same faults"""
    header = set(re.findall(r"\bX\((\w+)\)", read("src/base/planted.h"))) - {"name"}
    names = [row["name"] for row in rows]
    for text, other in (("src/base/planted.h", header), ("the source", set(places))):
        for name in sorted(set(names) ^ other):
            sys.exit(f"mutants: {name} stands in only one of table.txt and {text}")
    if len(names) != len(set(names)):
        sys.exit("mutants: a name stands twice in table.txt")


class Build:
    def __init__(self):
        self.cc = shlex.split(os.environ.get("MUTANTS_CC", "gcc"))
        self.flags = shlex.split(os.environ["MUTANTS_FLAGS"])
        self.libs = shlex.split(os.environ["MUTANTS_LIBS"])

    def compile(self, source, target, more):
        os.makedirs(os.path.dirname(os.path.join(ROOT, target)), exist_ok=True)
        # No -MMD: the file and its headers are read anew each time. Assignments behind `if (1)` may warn: no -Werror.
        subprocess.run([*self.cc, *self.flags, "-w", *more, "-c", "-o", target, source], cwd=ROOT, check=True)

    def objects(self, name, places):
        objects = []
        for source in places:
            objects.append(f"{OUT}/{name}/{source[:-2]}.o")
            self.compile(source, objects[-1], [f"-DPLANTED_FAULT={name}"])
        return objects

    def link(self, target, objects, libs=()):
        # The mutant's objects stand ahead of the archive, which then has nothing to give for their symbols.
        archive = "build/release/libparley-core.a"
        subprocess.run([*self.cc, *self.flags, "-o", target, *objects, archive, *self.libs, *libs], cwd=ROOT, check=True)

    def simulator(self, name, places):
        target = f"{OUT}/{name}/simulator"
        sim = [os.path.join(folder, file) for folder in ("build/release/sim", "build/release/sim/check")
               for file in sorted(os.listdir(os.path.join(ROOT, folder))) if file.endswith(".o") and file != "check_main.o"]
        self.link(target, sim + self.objects(name, places))
        return target

    def unit_test(self, name, places, test):
        target = f"{OUT}/{name}/{test}"
        subprocess.run(["make", "--no-print-directory", "-s", f"build/release/test/unit/{test}"], cwd=ROOT, check=True)
        own = [f"build/release/test/unit/{test}.o", "build/release/test/unit/support.a"]
        self.link(target, own[:1] + self.objects(name, places) + own[1:], ["-lcmocka"])
        return target

    def leaves_no_trace(self, places):
        """Each file that mentions a fault gives the same object, to the byte, as one without these lines."""
        wrong = []
        for source in sorted({path for paths in places.values() for path in paths}):
            text = re.sub(r"(?m)^ *if \(PLANTED\(\w+\)\) [^{}\n]*;$", "", read(source))
            text = re.sub(r"\bPLANTED\(\w+\)", "0", text)
            text = text.replace('#include "base/planted.h"', "")
            bare = f"{OUT}/bare/{source}"
            os.makedirs(os.path.dirname(os.path.join(ROOT, bare)), exist_ok=True)
            with open(os.path.join(ROOT, bare), "w", encoding="utf-8") as file:
                file.write(text)
            pair = []
            for path, more in ((source, []), (bare, [f"-fmacro-prefix-map={OUT}/bare/="])):
                target = f"{OUT}/bare/{'of' if path == source else 'without'}.o"
                self.compile(path, target, ["-g0", *more])
                with open(os.path.join(ROOT, target), "rb") as file:
                    pair.append(file.read())
            if pair[0] != pair[1]:
                wrong.append(source)
        return wrong


def classify(text):
    for pattern, check in CHECKS:
        if re.search(pattern, text):
            return check
    return "?"


def run_once(arguments, cpu_seconds):
    """(exit code, output, CPU seconds)"""
    def bounds():
        os.nice(10)
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_seconds) + 1, int(cpu_seconds) + 2))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    with tempfile.TemporaryFile() as output:
        # The seed draws everything, but the C library's arenas should not differ either.
        child = subprocess.Popen(arguments, cwd=ROOT, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                                 preexec_fn=bounds)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return child.returncode, output.read().decode(errors="replace"), usage.ru_utime + usage.ru_stime


def symptom(text):
    found = re.search(r"sim: FAILED seed=\d+ at [\d.]+ s: (.*)", text)
    if found:
        return found.group(1)
    lines = [line for line in text.splitlines() if "ensure" in line.lower() or "assert" in line.lower()]
    if "did not end" in text:
        return text
    return lines[-1] if lines else "the process broke an invariant" if "FAILED" in text else text.strip()[-300:]


def series(binary, base, limit, given_up):
    """Seeds from base on until one fails: {cpu, seed, symptom}; without a seed: not caught within the limit."""
    cpu, seed = 0.0, base
    while cpu < limit and not given_up.is_set():
        bound = min(limit - cpu, RUN_SECONDS)
        code, text, used = run_once([binary, "--seed", str(seed)], bound)
        cpu += used
        over = f"ended with status {int(signal.SIGXCPU)}" in text # a simulator that runs each seed in a child
        if over or code in (-signal.SIGXCPU, -signal.SIGKILL):
            if bound < RUN_SECONDS:
                break # the limit of the series, not of the run
            text = f"the run did not end within {RUN_SECONDS} s"
        if code != 0:
            return {"cpu": round(cpu, 2), "seed": seed, "symptom": symptom(text)}
        seed += 1
    return {"cpu": round(cpu, 2)}


def examine(row, places, build, bases, limit, pool):
    name = row["name"]
    result = {"mutant": name, "caught": False}
    if row["check"].startswith("unit:"):
        test = row["check"].split()[0][5:]
        code, text, cpu = run_once([build.unit_test(name, places, test)], limit)
        lost = re.findall(r"\[  FAILED  \] ([a-z]\w+)", text)
        result.update(caught=code != 0, median=round(cpu, 2), runs=[{"cpu": round(cpu, 2)}],
                      checks={f"{test}: {lost[0] if lost else 'crash'}": 1} if code != 0 else {})
        return result
    binary = build.simulator(name, places)
    given_up = threading.Event()
    waiting = {pool.submit(series, binary, base, limit, given_up) for base in bases}
    runs = []
    for future in concurrent.futures.as_completed(waiting):
        runs.append(future.result())
        if sum("seed" not in run for run in runs) > len(bases) // 2:
            given_up.set() # the median is over the limit whatever the others do
    caught = [run for run in runs if "seed" in run]
    checks = {}
    for run in caught:
        check = classify(run["symptom"])
        checks[check] = checks.get(check, 0) + 1
    result["runs"] = sorted(runs, key=lambda run: ("seed" not in run, run["cpu"]))
    result["checks"] = dict(sorted(checks.items(), key=lambda item: -item[1]))
    result["caught"] = len(caught) > len(bases) // 2
    if result["caught"]:
        cpus = sorted([run["cpu"] for run in caught] + [float("inf")] * (len(runs) - len(caught)))
        result["median"] = statistics.median_low(cpus)
    shutil.rmtree(os.path.join(ROOT, OUT, name), ignore_errors=True)
    return result


# ---- the record

JSONL = "docs/proof/mutants.jsonl"


def recorded():
    if not os.path.exists(os.path.join(ROOT, JSONL)):
        return {}
    return {entry["mutant"]: entry for entry in map(json.loads, read(JSONL).splitlines())}


def commit():
    git = ["git", "-C", ROOT]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True).stdout.strip()
    dirty = subprocess.run([*git, "status", "--porcelain", "src", "sim"], capture_output=True, text=True).stdout.strip()
    return head + ("+" if dirty else "")


def record(rows, results):
    entries = recorded()
    entries.update({result["mutant"]: result for result in results})
    known = [entries[row["name"]] for row in rows if row["name"] in entries]
    os.makedirs(os.path.join(ROOT, "docs/proof"), exist_ok=True)
    with open(os.path.join(ROOT, JSONL), "w", encoding="utf-8") as file:
        for entry in known:
            file.write(json.dumps(entry) + "\n")
    write_page(rows, {entry["mutant"]: entry for entry in known})


def write_page(rows, entries):
    caught = [entry for entry in entries.values() if entry["caught"]]
    slowest = max(caught, key=lambda entry: entry["median"]) if caught else None
    lines = [
        "# Planted faults",
        "",
        "<!-- made by test/mutants/run.py of test/mutants/table.txt and docs/proof/mutants.jsonl; do not edit -->",
        "",
        "A check that never failed proves nothing. `make mutants` builds the server with one fault at a time, each named",
        "in `src/base/planted.h`, runs the simulator over fresh seeds, and measures the CPU time until a check notices.",
        "The figure is the median of five series of seeds; the limit is five minutes. Product builds hold none of these",
        "faults: the same command compares their objects with ones whose planted lines were taken out, byte for byte.",
        "",
        f"{len(caught)} of the {len(entries)} that were measured are caught ({len(rows)} are in the table)."
        + (f" The slowest: {slowest['mutant']}, {slowest['median']:.0f} s." if slowest else ""),
        "",
        "| fault | what is broken | resembles | noticed by (of five series) | median CPU s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        entry = entries.get(row["name"])
        if entry is None:
            seen, median = "not run yet", ""
        else:
            seen = "; ".join(f"{check} {count}x" if len(entry["checks"]) > 1 else check
                             for check, count in entry["checks"].items())
            median = f"{entry['median']:.1f}" if entry["caught"] else "**not caught**"
        lines.append(f"| `{row['name']}` | {row['broken']} | {row['resembles'] or '–'} | {seen or '–'} | {median} |")
    lines += ["", "MUTANT=NAME runs one of them, SECONDS=N sets another limit, QUICK=1 takes three (for CI).", ""]
    with open(os.path.join(ROOT, "docs/mutants.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mutant", default="")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--series", type=int, default=len(BASES), choices=range(1, len(BASES) + 1))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    os.chdir(ROOT)
    rows, places = table(), mentions()
    check_names(rows, places)
    wanted = [row for row in rows if (not options.mutant or row["name"] in options.mutant.split(",")) and
              (not options.quick or row["name"] in QUICK)]
    if not wanted:
        sys.exit(f"mutants: no such fault: {options.mutant}")
    build = Build()
    passed = failed = 0
    if not options.mutant:
        wrong = build.leaves_no_trace({row["name"]: places[row["name"]] for row in wanted})
        say("mutants: product objects hold no trace of planted faults" if not wrong else
            f"mutants: FAILED: planted lines leave a trace in {' '.join(wrong)}")
        passed, failed = passed + (not wrong), failed + bool(wrong)
    bases = BASES[: 1 if options.quick else options.series]
    results, at = [], commit()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for row in wanted:
            result = examine(row, places[row["name"]], build, bases, options.seconds, pool)
            result["commit"], result["date"] = at, time.strftime("%Y-%m-%d")
            results.append(result)
            by = ", ".join(f"{check} {count}x" for check, count in result["checks"].items())
            if result["caught"]:
                passed += 1
                say(f"caught   {row['name']:32} {result['median']:7.1f} s  {by}")
                for run in result["runs"]:
                    if "?" in result["checks"] and classify(run.get("symptom", "")) == "?":
                        say(f"         no row of CHECKS for: {run.get('symptom')}")
            else:
                failed += 1
                say(f"NOT      {row['name']:32} > {options.seconds:5.0f} s  {by}")
            if len(bases) == len(BASES):
                record(rows, results)
    say(f"mutants: {passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

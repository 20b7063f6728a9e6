#!/usr/bin/env bash
# Checks and measures the engine on a GPU machine that has nothing but PyTorch 2.11.
#
#   scripts/bench-gpu.sh pack FOLDER            where the program is built: puts this script and executables in one archive, into FOLDER
#   scripts/bench-gpu.sh run FOLDER OUT [PART…] on the GPU machine: all parts, or those that are named, in this order, which is that of their worth:
#                                                 check   the GPU's results against the CPU's, bf16's and every choice's against plain f32's, and
#                                                         NCCL in a group of one
#                                                 speed   the original's example in bf16, in smaller parts, and in f32: what is asked of it
#                                                 loss    200 steps of it: whether the loss falls, and bf16 against three seeds of f32
#                                                 train   a job of it as users run it: whether images come as fast as they are learned from
#                                                 tune    what may be faster or smaller
#                                                 group   what a group of one costs, and that a launch of one makes none
#                                                 shapes  all shapes, the small ones on the CPU, too
#   scripts/bench-gpu.sh rehearse FOLDER OUT [PART…] the same with tiny shapes on the CPU, to try the script itself
#
# A machine may be lent for minutes at a time, and bare each time. Parts need nothing of each other. At most they take CHECK_S, SPEED_S, … seconds
# (below): `check speed`, `loss train` and `tune group shapes` are calls of less than 10 minutes, and all with three starts stay under 30.
# OUT gets two files of each part as soon as it ends: its verdicts, and one archive of all texts and figures; images, checkpoints and maps stay in
# the folder WORK (by default a new one that is removed). With the same WORK again, or with OUT of an earlier call as BEFORE, measurements and jobs
# that were done stay as they are.
# Whatever fails, the rest goes on: the verdicts say what failed, and the status is 1 at the end. Figures of results that `check` finds wrong are
# worth nothing.
set -euo pipefail

readonly CHECK_S=${CHECK_S:-240} SPEED_S=${SPEED_S:-200} LOSS_S=${LOSS_S:-300} TRAIN_S=${TRAIN_S:-200}
readonly TUNE_S=${TUNE_S:-180} GROUP_S=${GROUP_S:-150} SHAPES_S=${SHAPES_S:-200}
readonly PARTS=(check speed loss train tune group shapes)
# What a machine may be worked with, other than by default.
readonly choices=("--projection rays --only-step" "--layout channels-last" "--convolutions rearranged" "--layout channels-last --convolutions rearranged" "--search no --only-step"
  "--layout plain --convolutions plain")
# What `check` runs: a test program, and the beginning of its tests' names where not all are meant. Programs that know no GPU are for CI.
readonly CHECKS=(device whole_step "running a_group_of_one" "gpu_kernels nvrtc")
failures=0 parts=()

usage() {
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
}

pack() {
  local folder=$1 packed name check
  packed=$(mktemp -d)
  mkdir -p "$folder" "$packed/bin" "$packed/tests"
  cargo build --release --workspace --bins
  cp target/release/opus-dsd target/release/opus-dsd-engine "$packed/bin/"
  # Cargo names test programs by hashes: take them from its own list.
  local programs=()
  for check in "${CHECKS[@]}"; do programs+=(--test "${check%% *}"); done
  cargo test --release --workspace --no-run --message-format=json "${programs[@]}" |
    python3 -c '
import json, sys
for line in sys.stdin:
    if line.startswith("{"):
        item = json.loads(line)
        if item.get("reason") == "compiler-artifact" and item.get("executable") and item["profile"]["test"]:
            print(item["target"]["name"], item["executable"])' |
    while read -r name executable; do
      for check in "${CHECKS[@]}"; do [ "$name" != "${check%% *}" ] || cp "$executable" "$packed/tests/$name"; done
    done
  for check in "${CHECKS[@]}"; do [ -x "$packed/tests/${check%% *}" ] || { echo "no test program ${check%% *}" >&2 && exit 1; }; done
  strip "$packed"/bin/* "$packed"/tests/*
  git rev-parse HEAD >"$packed/commit"
  tar -C "$packed" -czf "$folder/pack.tar.gz" .
  rm -r "$packed"
  cp "$0" "$folder/bench-gpu.sh"
  echo "packed $(git rev-parse HEAD) into $folder: $(du -sh "$folder" | cut -f 1)"
}

# Runs words until the part's time is up; what they say goes to a file. A failure is told, counted, and ends nothing.
try() {
  local file=$1 status=0
  shift
  echo "== ${file##*/}" >&2
  timeout --kill-after=10 "$((until_s > SECONDS ? until_s - SECONDS : 1))" "$@" >"$file" 2>&1 || status=$?
  [ "$status" -eq 0 ] && return
  failures=$((failures + 1))
  echo "failed with status $status: see $file" >&2
  return 1
}

# What is asked of the figures in a folder, and what they are; a part's name says which.
verdicts() {
  local status=0
  python3 - "$1" "$out" <<'PYTHON' >"$results/verdicts-$1.txt" || status=$?
import json, os, statistics, sys

part, out = sys.argv[1:]
holds = True
# A shared CPU is not held to times.
timed = "REHEARSAL" not in os.environ
# What the loss must fall to, of its mean over the first epoch, which has learned already.
FALLS = 0.95


def load(name):
    path = os.path.join(out, name)
    if os.path.exists(path):
        with open(path) as file:
            return json.load(file)
    global holds
    holds = False
    print(f"{name}: no result")


def row(name, value, asked, at_least=False, counts=True):
    kept = value >= asked if at_least else value <= asked
    global holds
    holds = holds and (kept or not counts)
    verdict = ("holds" if kept else "DOES NOT HOLD") if counts else "not asked"
    print(f"{name:58}{value:12.4f}{('≥ ' if at_least else '≤ ') + format(asked, '.4g'):>12}  {verdict}")


def losses(name):
    path = os.path.join(out, name, "monitor", "losses.jsonl")
    lines = [json.loads(line) for line in open(path)] if os.path.exists(path) else []
    return [line["terms"]["reconstruction"] for line in lines if line["of"] == "interval"]


def events(name):
    path = os.path.join(out, name, "events.jsonl")
    return [json.loads(line) for line in open(path)] if os.path.exists(path) else []


def epoch_seconds(name):
    return [event["seconds"] for event in events(name) if event.get("event") == "epoch"]


def speed():
    for name in ["bf16", "bf16-halves", "f32"]:
        result = load(f"{name}.json")
        if result:
            # Asked of bf16, of the memory in either way to split a batch; f32 is there to be compared.
            bf16 = timed and name.startswith("bf16")
            row(f"{name}, images/s", result["images_per_second"], 200, at_least=True, counts=timed and name == "bf16")
            row(f"{name}, GB at most, an image of the batch", result["peak_bytes"] / 1e9 / result["shape"]["batch"], 0.3, counts=bf16)
            if result["of_plain_convolutions"]:
                row(f"{name}, networks' rate over plain convolutions'", result["of_plain_convolutions"], 0.35, at_least=True, counts=timed and name == "bf16")


def tune():
    for name in sorted(os.listdir(out)):
        if name.startswith("choice-") and name.endswith(".json"):
            result = load(name)
            tuning = result["tuning"]
            words = f"bf16 {tuning['layout']}, {tuning['convolutions']}, search {tuning['search']}, {result['shape']['projection']}".lower()
            row(f"{words}: images/s", result["images_per_second"], 200, at_least=True, counts=False)
            row(f"{words}: GB", result["peak_bytes"] / 1e9 / result["shape"]["batch"], 0.3, counts=False)


def train():
    global holds
    seconds, images = epoch_seconds("train"), int(os.environ["IMAGES"])
    if not seconds:
        holds = False
        return print("train: no epoch came to its end")
    for number, of_epoch in enumerate(seconds, 1):
        # The first epoch makes and warms up what later ones use.
        row(f"epoch {number} of {images} images, images/s", images / of_epoch, 200, at_least=True, counts=timed and number == len(seconds))
    for event in events("train"):
        if event.get("event") == "done":
            print(f"stage {event['name']}: {event['seconds']:.1f} s")


def group():
    result = load("group.json")
    if result:
        alone, one = result["in_group"]["alone"], result["in_group"]["group"]
        kind = "cpu_seconds" if result["device"] == "cpu" else "wall_seconds"
        print(f"a step in a group of one, over one alone ({kind}): {one[kind] / alone[kind]:.3f}; it is what several GPUs pay, and one does not")
    # Turns one and two of each kind, so that a machine that slows down favours neither.
    alone, launched = ([f"{kind}-{turn}" for turn in (1, 2)] for kind in ("alone", "launched"))
    curves = [losses(name) for name in alone + launched]
    if not all(curves):
        global holds
        holds = False
        return print("jobs of a launch of one: no result")
    apart = max(abs(a - b) for curve in curves[1:] for a, b in zip(curves[0], curve, strict=True))
    row("launch of one: losses apart from no launch's, at most", apart / statistics.mean(curves[0]), 1e-3)
    # The first epoch makes and warms up what later ones use.
    seconds = [statistics.median(s for name in names for s in epoch_seconds(name)[1:]) for names in (alone, launched)]
    row("launch of one: time of an epoch over no launch's", seconds[1] / seconds[0], 1.05, counts=timed)


def loss():
    global holds
    steps = int(os.environ["STEPS"])
    # An epoch has all images: the same ones for every seed and kind of numbers.
    epoch = steps // int(os.environ["EPOCHS"])
    first, last = {}, {}
    for name in os.environ["RUNS"].split():
        curve = losses(f"loss-{name}")
        if len(curve) < steps:
            holds = False
            print(f"{name}: {len(curve)} of {steps} steps")
            continue
        first[name], last[name] = statistics.mean(curve[:epoch]), statistics.mean(curve[steps - epoch:steps])
        print(f"{name}: mean reconstruction loss of step 1 {curve[0]:.6f}, 1 to {epoch} {first[name]:.6f}, {steps - epoch + 1} to {steps} {last[name]:.6f}")
    for name in last:
        learns = name != "control"
        row(f"{name}, loss of the last epoch over the first's" + ("" if learns else " (learns nothing)"), last[name] / first[name], FALLS, at_least=not learns)
    seeds = [last[name] for name in ("f32-1", "f32-2", "f32-3") if name in last]
    if len(seeds) == 3 and "bf16-1" in last:
        spread = max(seeds) - min(seeds)
        row("f32, what is learned over the spread of its three seeds", (first["f32-1"] - seeds[0]) / spread, 3, at_least=True)
        row("bf16 from f32 of the same seed, over the spread", abs(last["bf16-1"] - seeds[0]) / spread, 1)
        print(f"f32's seeds: {min(seeds):.6f} to {max(seeds):.6f}; bf16: {last['bf16-1']:.6f}")


{"speed": speed, "loss": loss, "train": train, "tune": tune, "group": group}[part]()
sys.exit(0 if holds else 1)
PYTHON
  cat "$results/verdicts-$1.txt"
  [ "$status" -eq 0 ] || failures=$((failures + 1))
}

# The GPU against the CPU, and NCCL in a group of one; tests say SKIPPED where there is no GPU, which is a failure here.
check() {
  local test verdict
  until_s=$((SECONDS + CHECK_S))
  : >"$results/verdicts-check.txt"
  for test in "${CHECKS[@]}"; do
    # shellcheck disable=SC2086 # a program and the name of its tests
    set -- $test
    verdict=holds
    if ! try "$out/check-$1.txt" "$packed/tests/$1" ${2:+"$2"} --nocapture; then
      verdict="DOES NOT HOLD"
      cat "$out/check-$1.txt"
    elif grep '^running 0 tests' "$out/check-$1.txt" >&2; then
      verdict="DOES NOT HOLD: no such test"
      failures=$((failures + 1))
    elif [ "$device" != cpu ] && grep SKIPPED "$out/check-$1.txt" >&2; then
      verdict="DOES NOT HOLD: skipped"
      failures=$((failures + 1))
    fi
    printf '%-58s%s\n' "$test" "$verdict" >>"$results/verdicts-check.txt"
  done
  cat "$results/verdicts-check.txt"
}

# One measurement; its name, then words.
bench() {
  local name=$1
  shift
  [ -e "$out/$name.json" ] || try "$out/$name.txt" "$packed/bin/opus-dsd" bench "$@" --o "$out/$name.json" || true
  [ -e "$out/$name.json" ]
}

# Two measurements side by side.
compare() {
  [ ! -e "$out/$1.json" ] || [ ! -e "$out/$2.json" ] || try "$out/$1-$2.txt" "$packed/bin/opus-dsd" bench --compare "$out/$1.json" "$out/$2.json" || true
}

# A training job from its beginning: its folder's name, what it is trained on (`images`), then other words.
job() {
  local name=$1 set stars images
  [ ! -e "$out/$name/done.txt" ] || return 0
  read -r -a images <<<"$2"
  shift 2
  rm -rf "${out:?}/$name"
  images "${images[@]}" || return 0
  if try "$out/$name.txt" "$packed/bin/opus-dsd" train --o "$out/$name" --in-parts "$set/$stars" --in-3dref "$set/consensus.mrc" \
    --in-mask "$set/mask.mrc" --warm-start no --check no --valfrac 0 --clusters 2 --plot no "$@"; then
    date -u >"$out/$name/done.txt"
  fi
}

# Simulates images: pixels of the box, how many, pixel size, signal to noise, and how often each is a particle.
images() {
  set=$work/images-$1-$2-$4 stars=particles.star
  [ -e "$set/$stars" ] || try "$set.txt" "$packed/bin/opus-dsd" simulate --o "$set" --particles "$2" --optics "$1:$3" --snr "$4" --seed 1 || return
  [ "$5" -gt 1 ] || return 0
  stars=particles-$5.star
  # The particles' table is the last one of the file, and ends at a blank line.
  awk -v times="$5" '/^data_/ { rows = "" } NF || rows == "" { print } NF > 2 { rows = rows $0 "\n" } END { while (--times) printf "%s", rows }' "$set/particles.star" >"$set/$stars"
}

speed() {
  until_s=$((SECONDS + SPEED_S))
  bench bf16 --device "$device" --precision bf16 "${shape[@]}" || true
  bench bf16-halves --device "$device" --precision bf16 "${shape[@]}" --micro-batch "$half" --only-step || true
  bench f32 --device "$device" --precision f32 "${shape[@]}" || true
  compare f32 bf16
  verdicts speed
}

# Steps of the original's example from nothing, without base and warm start, on images of little noise, so that there is something to learn.
# A rehearsal adds a run that learns nothing: the verdict must see it.
loss() {
  local run
  until_s=$((SECONDS + LOSS_S))
  export STEPS=200 EPOCHS=4 RUNS="bf16-1 f32-1 f32-2 f32-3${REHEARSAL:+ control}"
  for run in $RUNS; do
    case $run in
      control) job loss-control "$loss_images" --seed 1 --lr 1e-9 "${loss_job[@]}" "${where[@]}" ;;
      *) job "loss-$run" "$loss_images" --precision "${run%-*}" --seed "${run#*-}" "${loss_job[@]}" "${where[@]}" ;;
    esac
  done
  verdicts loss
}

train() {
  local words
  until_s=$((SECONDS + TRAIN_S))
  read -r -a words <<<"$train_images"
  export IMAGES=$((words[1] * words[4]))
  job train "$train_images" --precision bf16 -n 2 "${train_job[@]}" "${where[@]}"
  verdicts train
}

# Held against nothing: the defaults follow these figures.
tune() {
  local choice words name
  until_s=$((SECONDS + TUNE_S))
  for choice in "${choices[@]}"; do
    read -r -a words <<<"$choice"
    name=choice-${choice//[^a-z]/}
    bench "$name" --device "$device" --precision bf16 "${shape[@]}" "${words[@]}" || true
  done
  compare "choice-layoutplainconvolutionsplain" "choice-layoutchannelslast"
  verdicts tune
}

group() {
  local turn
  until_s=$((SECONDS + GROUP_S))
  bench group --device "$device" "${shape[@]}" --group --only-step || true
  for turn in 1 2; do
    job "alone-$turn" "$group_images" "${group_job[@]}" "${where[@]}"
    RANK=0 WORLD_SIZE=1 LOCAL_RANK=0 MASTER_ADDR=127.0.0.1 MASTER_PORT=29500 job "launched-$turn" "$group_images" "${group_job[@]}" "${where[@]}"
  done
  verdicts group
}

shapes() {
  local name
  until_s=$((SECONDS + SHAPES_S))
  for name in "${all_shapes[@]}"; do
    bench "device-$name" --device "$device" --shape "$name" --steps 20 --warm-up 5 || continue
    cat "$out/device-$name.txt"
  done
  for name in tiny small; do
    bench "cpu-$name" --device cpu --shape "$name" || continue
    compare "cpu-$name" "device-$name"
  done
}

begin() {
  mkdir -p "$2"
  results=$(cd "$2" && pwd) work=${WORK:-} out=
  if [ -z "$work" ]; then
    work=$(mktemp -d)
    trap 'put_away; rm -rf "$work"' EXIT
  else
    mkdir -p "$work"
    trap put_away EXIT
  fi
  trap 'exit 143' TERM
  work=$(cd "$work" && pwd) packed=$work/packed
  mkdir -p "$packed"
  tar -C "$packed" -xzf "$1/pack.tar.gz"
  export OPUS_DSD_ENGINE="$packed/bin/opus-dsd-engine" OMP_WAIT_POLICY=passive
  cat "$packed/commit" >"$results/machine.txt"
  [ -z "${BEFORE:-}" ] || take_over "$BEFORE"
}

# What an earlier call has measured of the same build, jobs only where they came to their end.
take_over() {
  local archive folder
  cmp -s <(head -n 1 "$1/machine.txt") "$packed/commit" || { echo "$1 is of another build" >&2 && exit 1; }
  for archive in "$1"/*.tar.gz; do tar -C "$work" -xzf "$archive"; done
  for folder in "$work"/*/*/events.jsonl; do [ -e "${folder%/*}/done.txt" ] || rm -rf "${folder%/*}"; done
}

# Runs a part in a folder of its own.
part() {
  local before=$failures
  out=$work/$1
  mkdir -p "$out"
  "$1"
  put_away
  parts+=("$(printf '%-8s%s' "$1" "$([ "$failures" -eq "$before" ] && echo holds || echo "$((failures - before)) failed or did not hold")")")
}

# One archive of what a part has said so far.
put_away() {
  [ -n "$out" ] || return 0
  (cd "$work" && find "${out##*/}" -type f \( -name '*.txt' -o -name '*.json' -o -name '*.jsonl' -o -name 'run.*' \) -print0 |
    tar --null -T - -czf "$results/${out##*/}.tar.gz")
  out=
}

rehearse() {
  begin "$1" "$2"
  export REHEARSAL=1
  device=cpu where=(--device cpu --j 1) all_shapes=(tiny)
  shape=(--shape tiny --poses 8 --batch 4 --steps 5 --warm-up 1 --threads 1) half=2
  group_images="32 200 4.0 0.1 1" group_job=(--base reference --preset tiny -n 3 --log-interval 50 --seed 1)
  loss_images="32 200 4.0 2 1" loss_job=(--base none --preset tiny -n 4 -b 4 --log-interval 4)
  train_images="32 200 4.0 2 3" train_job=(--base reference --preset tiny -b 4)
  shift 2
  each "$@"
}

run() {
  begin "$1" "$2"
  shift 2
  local torch
  torch=$(python3 -c 'import torch, os; assert torch.__version__.startswith("2.11."), torch.__version__; print(os.path.dirname(torch.__file__))')
  export LD_LIBRARY_PATH="$torch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  device=cuda:0 where=(--gpu 0) all_shapes=(tiny small seed 256 384)
  shape=(--shape seed --steps 20 --warm-up 5) half=9
  group_images="64 1000 3.0 0.1 1" group_job=(--base reference --preset tiny -n 4 --log-interval 200 --seed 1)
  # Four epochs of 50 batches of 18, and two of 500.
  local example=(--preset full --downfrac 0.75 --templateres 192 --zdim 8 -b 18)
  loss_images="192 900 1.5 2 1" loss_job=(--base none "${example[@]}" -n 4 --log-interval 18)
  train_images="192 900 1.5 2 10" train_job=(--base reference "${example[@]}")
  { date -u; nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv; lscpu; } >>"$results/machine.txt"
  each "$@"
}

# The named parts, or all of them, and what became of each.
each() {
  local name
  [ $# -gt 0 ] || set -- "${PARTS[@]}"
  for name in "$@"; do
    [[ " ${PARTS[*]} " == *" $name "* ]] || usage
  done
  for name in "$@"; do part "$name"; done
  printf '%s\n' "${parts[@]}" | tee -a "$results/verdicts.txt"
}

case "${1:-}" in
  pack) [ $# -eq 2 ] || usage; pack "$2" ;;
  run) [ $# -ge 3 ] || usage; run "${@:2}" ;;
  rehearse) [ $# -ge 3 ] || usage; rehearse "${@:2}" ;;
  *) usage ;;
esac
[ "$failures" -eq 0 ] || { echo "$failures failed or did not hold" >&2 && exit 1; }

#!/usr/bin/env bash
# Checks and measures the engine on a GPU machine that has nothing but PyTorch 2.11.
#
#   scripts/bench-gpu.sh pack FOLDER       where the program is built: puts executables and golden numbers into FOLDER
#   scripts/bench-gpu.sh run FOLDER OUT    on the GPU machine: GPU against CPU first, then the benchmark; leaves OUT/*.json and *.txt
#   scripts/bench-gpu.sh rehearse FOLDER OUT   the benchmark's verdicts with a tiny shape on the CPU, to try the script itself
#
# `run` stops at the first check that fails: figures of wrong results are worth nothing.
set -euo pipefail

usage() {
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

pack() {
  local folder=$1
  mkdir -p "$folder/bin" "$folder/tests"
  cargo build --release --bins -p opus-dsd -p opus-dsd-engine
  cp target/release/opus-dsd target/release/opus-dsd-engine "$folder/bin/"
  # Cargo names test programs by hashes: take them from its own list.
  cargo test --release -p opus-dsd-engine --no-run --message-format=json |
    python3 -c '
import json, sys
for line in sys.stdin:
    if line.startswith("{"):
        item = json.loads(line)
        if item.get("reason") == "compiler-artifact" and item.get("executable") and item["profile"]["test"]:
            print(item["target"]["name"], item["executable"])' |
    while read -r name executable; do cp "$executable" "$folder/tests/$name"; done
  cp -r tests/data/golden "$folder/golden"
  cp "$0" "$folder/bench-gpu.sh"
  git rev-parse HEAD >"$folder/commit"
  echo "packed $(cat "$folder/commit") into $folder"
}

# The original's example in both kinds of numbers on a device, with further words for `bench`; then what is asked of them, and what they are.
verdicts() {
  local folder=$1 out=$2 device=$3
  shift 3
  for precision in f32 bf16; do
    "$folder/bin/opus-dsd" bench --device "$device" --precision "$precision" "$@" --o "$out/verdict-$precision.json" >"$out/verdict-$precision.txt" 2>&1 ||
      echo "failed: see $out/verdict-$precision.txt" >&2
  done
  python3 - "$out" <<'PYTHON' | tee "$out/verdicts.txt"
import json, os, sys

print(f"{'':44}{'measured':>12}{'asked':>12}  verdict")
for precision in ["bf16", "f32"]:
    path = os.path.join(sys.argv[1], f"verdict-{precision}.json")
    if not os.path.exists(path):
        print(f"{precision}: no result")
        continue
    with open(path) as file:
        result = json.load(file)
    rows = [
        ("images/s", result["images_per_second"], 200, True),
        ("GB at most, an image", result["peak_bytes"] / 1e9 / result["shape"]["batch"], 0.3, False),
        ("networks' rate over plain convolutions'", result["of_plain_convolutions"], 0.35, True),
    ]
    for name, value, asked, at_least in rows:
        kept = value >= asked if at_least else value <= asked
        bound = ("≥ " if at_least else "≤ ") + str(asked)
        print(f"{precision + ', ' + name:44}{value:12.3f}{bound:>12}  {'holds' if kept else 'DOES NOT HOLD'}")
PYTHON
}

rehearse() {
  mkdir -p "$2"
  export OPUS_DSD_ENGINE="$1/bin/opus-dsd-engine"
  verdicts "$1" "$2" cpu --shape tiny --batch 4 --steps 2 --warm-up 1 --threads 1
}

run() {
  local folder=$1 out=$2
  mkdir -p "$out"
  local torch
  torch=$(python3 -c 'import torch, os; assert torch.__version__.startswith("2.11."), torch.__version__; print(os.path.dirname(torch.__file__))')
  export LD_LIBRARY_PATH="$torch/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  export OPUS_DSD_ENGINE="$folder/bin/opus-dsd-engine" GOLDEN_DIR="$folder/golden" OMP_WAIT_POLICY=passive
  { date -u; cat "$folder/commit"; nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv; lscpu; } >"$out/machine.txt"

  # GPU against CPU, and NCCL with one GPU; these tests say SKIPPED where there is no GPU, which is a failure here.
  "$folder/tests/device" --nocapture 2>&1 | tee "$out/device.txt"
  if grep -q SKIPPED "$out/device.txt"; then
    echo "the engine finds no GPU on this machine" >&2
    exit 1
  fi
  for test in golden model_properties fused_projector gpu_kernels; do
    "$folder/tests/$test" 2>&1 | tee "$out/$test.txt"
  done

  for shape in tiny small seed 256 384; do
    echo "== $shape" >&2
    # A shape that does not fit is reported and does not end the rest.
    "$folder/bin/opus-dsd" bench --device cuda:0 --shape "$shape" --steps 20 --warm-up 5 --o "$out/cuda-$shape.json" >"$out/cuda-$shape.txt" 2>&1 ||
      echo "failed: see $out/cuda-$shape.txt" >&2
    cat "$out/cuda-$shape.txt"
  done
  verdicts "$folder" "$out" cuda:0 --shape seed --steps 20 --warm-up 5
  for shape in tiny small; do
    "$folder/bin/opus-dsd" bench --device cpu --shape "$shape" --o "$out/cpu-$shape.json" >"$out/cpu-$shape.txt" 2>&1
    "$folder/bin/opus-dsd" bench --compare "$out/cpu-$shape.json" "$out/cuda-$shape.json" >"$out/cpu-cuda-$shape.txt"
  done
}

case "${1:-}" in
  pack) [ $# -eq 2 ] || usage; pack "$2" ;;
  run) [ $# -eq 3 ] || usage; run "$2" "$3" ;;
  rehearse) [ $# -eq 3 ] || usage; rehearse "$2" "$3" ;;
  *) usage ;;
esac

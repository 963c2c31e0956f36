#!/bin/bash
# As contender.ts, in two ways of the shell: contender.sh flock|mkdir FOLDER TURNS HOLD_SECONDS. Times are of the wall clock.
way=$1 folder=$2 turns=$3 hold=$4
milliseconds() { echo $((${EPOCHREALTIME/./} / 1000)).$((${EPOCHREALTIME/./} % 1000)); }
exec 9>>"$folder/file"
for ((turn = 0; turn < turns; turn++)); do
  asked=$(milliseconds)
  if [ "$way" = flock ]; then flock 9; else until mkdir "$folder/locked" 2>/dev/null; do sleep 0.1; done; fi
  acquired=$(milliseconds)
  sleep "$hold"
  released=$(milliseconds)
  if [ "$way" = flock ]; then flock -u 9; else rmdir "$folder/locked"; fi
  echo "{\"asked\":$asked,\"acquired\":$acquired,\"released\":$released,\"operations\":0}"
done

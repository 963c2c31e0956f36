/**
 * The Task form of a step that runs a command: the command in an image of the user's, which needs no more than sh
 * and sleep, and the step's program in a sidecar. The program runs a stand-in for the command, and the two meet in
 * an emptyDir: so whatever the program does with a command, it does with that one, and the step ends as the program
 * does. ADR 9 says why.
 */
import { paramEnv, resultEnv, stepCommand, type StepContract } from '../contract.ts'
import { ERRORS } from '../errors.ts'
import type { Settings } from './settings.ts'
import { SECURITY_CONTEXT, stepContainer } from './step.ts'

/** Where the step and the sidecar meet. */
const MEETING = { name: 'meeting', mountPath: '/shared-workspace/meeting' }
const AT_MEETING = { name: 'MEETING', value: MEETING.mountPath }

/** For how long the step goes on without a sign of life of its sidecar, and then from SIGTERM to SIGKILL. */
const SILENCE_S = 25
const GRACE_S = 8

export const imageParam = ({ image }: Settings) => ({
  name: 'image',
  type: 'string',
  description: 'The image that the command runs in. It needs `sh` and `sleep`.',
  default: image,
})

/** The steps, the sidecar and the volume of the Task. */
export function commandInImage(contract: StepContract, settings: Settings) {
  const { image, args, env, securityContext } = stepContainer(contract, 'task', settings)
  const { readOnlyRootFilesystem: _, ...ofUser } = SECURITY_CONTEXT
  const results = Object.keys(contract.results)
  const isResult = (name: string): boolean => results.some((result) => resultEnv(result) === name)
  const script = paramEnv('script')
  return {
    steps: [
      {
        name: contract.name,
        image: '$(params.image)',
        command: ['sh', '-c'],
        args: [stepScript(results), contract.name, ...(args ?? [])],
        env: [
          AT_MEETING,
          ...env.filter(({ name }) => isResult(name) || [script, paramEnv('name')].includes(name)),
        ],
        volumeMounts: [MEETING],
        securityContext: ofUser,
        computeResources: contract.resources,
      },
    ],
    sidecars: [
      {
        name: 'lock',
        image,
        command: ['sh', '-c'],
        args: [SIDECAR, contract.name, ...stepCommand(contract.name), 'sh', '-c', STAND_IN],
        env: [
          AT_MEETING,
          ...env.filter(({ name }) => !isResult(name) && name !== script),
          ...results.map((name) => ({ name: resultEnv(name), value: `${MEETING.mountPath}/result.${name}` })),
        ],
        volumeMounts: [MEETING],
        securityContext,
        computeResources: {
          requests: { cpu: '10m', memory: '64Mi' },
          limits: { cpu: '500m', memory: '256Mi' },
        },
      },
    ],
    volumes: [{ name: MEETING.name, emptyDir: {} }],
  }
}

/**
 * The sidecar: runs the program, and tells the step with which code it has ended. It ends when Tekton tells it to:
 * one that ends by itself would be started again where sidecars are Kubernetes' own. One that was started again
 * after it was killed knows no more whether the lock is held.
 */
const SIDECAR = `stopped= program=
trap 'stopped=yes; [ -e "$MEETING/granted" ] || kill -TERM "$program" 2>/dev/null' TERM
if [ -e "$MEETING/log" ]; then
  code=${ERRORS.LOCK_LOST.exit}
else
  "$@" > "$MEETING/log" 2>&1 &
  program=$!
  [ -z "$stopped" ] || kill -TERM "$program"
  while wait "$program"; code=$?; kill -0 "$program" 2>/dev/null; do :; done
fi
echo "$code" > "$MEETING/over.new"
mv "$MEETING/over.new" "$MEETING/over"
until [ -n "$stopped" ]; do
  sleep 1 &
  wait "$!"
done
`

/** What the program takes for the command. SIGTERM comes to it only where the lock is lost; the program may be killed. */
const STAND_IN = `trap ': > "$MEETING/stop"' TERM
echo "$LOCK_EPOCH" > "$MEETING/granted.new"
mv "$MEETING/granted.new" "$MEETING/granted"
until [ -s "$MEETING/ended" ]; do
  kill -0 "$PPID" 2>/dev/null || : > "$MEETING/stop"
  read -r uptime rest < /proc/uptime
  echo "$uptime" > "$MEETING/alive"
  sleep 0.2
done
read -r code < "$MEETING/ended"
exit "$code"
`

/**
 * The step: waits for the lock, runs the command, and ends as the program says. Signals reach its whole process
 * group by Tekton. It reads files by the shell alone, since the image may have little else.
 */
const stepScript = (results: readonly string[]): string => `told= lost=
trap 'told=yes' TERM INT HUP
pause() { sleep 0.2 2>/dev/null || sleep 1; }
say() { while IFS= read -r line <&3; do printf '%s\\n' "$line"; done; }
leave() { echo "$1" > "$MEETING/ended"; exit "$1"; }
stop() {
  echo "with-lock: $1: stopping the command" >&2
  : > "$MEETING/lost"
  kill -TERM 0
  read -r last rest < /proc/uptime
  last=$((\${last%.*} + ${GRACE_S}))
  while [ ! -s "$MEETING/ended" ]; do
    read -r now rest < /proc/uptime
    [ "\${now%.*}" -lt "$last" ] || { kill -KILL "$command"; return; }
    pause
  done
}
watch() {
  trap '' TERM
  seen= since=0
  while [ ! -s "$MEETING/ended" ]; do
    read -r now rest < /proc/uptime
    now=\${now%.*} alive=
    [ ! -e "$MEETING/alive" ] || read -r alive < "$MEETING/alive"
    [ "$alive" = "$seen" ] || seen=$alive since=$now
    [ "$since" != 0 ] || since=$now
    [ ! -e "$MEETING/stop" ] || { stop 'the lock is lost'; return; }
    [ ! -e "$MEETING/over" ] || { stop 'the sidecar has ended'; return; }
    [ "$((now - since))" -le ${SILENCE_S} ] || { stop 'the sidecar is silent'; return; }
    pause
  done
}
copy() {
  [ -e "$MEETING/result.$1" ] || return 0
  value=
  IFS= read -r value < "$MEETING/result.$1"
  printf '%s' "$value" > "$2"
}
if [ "$#" -eq 0 ] && [ -z "$PARAM_SCRIPT" ]; then
  echo 'with-lock: there is nothing to run under the lock; set args or script' >&2
  leave ${ERRORS.USAGE.exit}
fi
until [ -e "$MEETING/log" ]; do
  [ -z "$told" ] || leave 143
  pause
done
exec 3< "$MEETING/log"
until [ -e "$MEETING/granted" ] || [ -e "$MEETING/over" ]; do
  say
  [ -z "$told" ] || leave 143
  pause
done
say
if [ -e "$MEETING/granted" ]; then
  read -r LOCK_EPOCH < "$MEETING/granted"
  LOCK_NAME=$PARAM_NAME
  LOCK_FENCE=$LOCK_NAME@$LOCK_EPOCH
  export LOCK_NAME LOCK_EPOCH LOCK_FENCE
  if [ -n "$PARAM_SCRIPT" ]; then
    sh -e -c "$PARAM_SCRIPT" with-lock "$@" 3<&- &
  else
    "$@" 3<&- &
  fi
  command=$!
  watch &
  while wait "$command"; code=$?; kill -0 "$command" 2>/dev/null; do :; done
  # What the command has left running goes, too.
  trap '' TERM
  kill -TERM 0
  echo "$code" > "$MEETING/ended"
  tries=300
  # A sidecar that is gone says nothing any more.
  [ ! -e "$MEETING/lost" ] || tries=25
  until [ -e "$MEETING/over" ] || [ "$tries" -eq 0 ]; do
    say
    tries=$((tries - 1))
    pause
  done
fi
say
code=${ERRORS.LOCK_LOST.exit}
[ ! -e "$MEETING/over" ] || read -r code < "$MEETING/over"
[ ! -e "$MEETING/lost" ] || code=${ERRORS.LOCK_LOST.exit}
${results.map((name) => `copy ${name} "$${resultEnv(name)}"`).join('\n')}
exit "$code"
`

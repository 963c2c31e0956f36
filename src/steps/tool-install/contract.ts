import { TOOL_CONFIGURATION } from '../../configuration.ts'
import { arrayParam, defineStep, param } from '../../contract.ts'
import { bytes, duration, lines, oneOf, orNone, text, understood, wholeNumber } from '../../schemas.ts'
import { toolName, toolPlatform, toolVersion } from '../../tools/layout.ts'
import { ARCHIVES } from '../../tools/unpack/archive.ts'
import * as z from '../../zod.ts'
import { LOCK_BACKEND } from '../lock-params.ts'

const sha256 = understood((value) => {
  const [, hex] = /^(?:sha256:)?([0-9a-f]{64})$/i.exec(value) ?? []
  return hex?.toLowerCase()
}, 'expected a sha256: 64 hexadecimal digits')

const url = z.pipe(
  z.url({ protocol: /^https?$/, error: 'expected an http or https URL' }),
  z.transform((value: string) => new URL(value)),
)

export const contract = defineStep({
  name: 'tool-install',
  version: '0.1',
  displayName: 'Install a tool once for all who use the shared workspace',
  summary:
    'Finds a tool on the shared volume and verifies it, or downloads it once for any number of consumers.',
  description: `Of all the tasks and pods that want the same tool at once, one downloads it; the others wait, and print
how far it is. If that one dies, another goes on where it was. A tool is there as a whole or not at all, every byte of
it is verified each time it is found (by those who waited: its names, sizes and permissions), and versions stand side
by side.

* The result \`path\` is the folder to put first in \`PATH\`. What is in it are links, so it works wherever the volume is
  mounted.
* \`urls\` are mirrors of one file. A server that is busy or cuts the connection is asked again, and goes on where it
  stopped if it can; one that refuses makes room for the next mirror.
* A tool without a checksum is refused, unless \`waiveChecksum\` names it.
* Proxies are taken from \`HTTP_PROXY\`, \`HTTPS_PROXY\` and \`NO_PROXY\`, which a \`podTemplate\` can set; certificates of a
  private authority from the ConfigMap.
* A tool that somebody has changed is moved to the trash and installed again, and the log says so. What is installed is
  never replaced by another download of the same version: that is an error.

See docs/tools.md.`,
  categories: ['CLI', 'Storage'],
  tags: ['tool', 'download', 'workspace'],
  params: {
    name: param(toolName, 'The name of the tool.'),
    version: param(toolVersion, 'Its version: with name and platform, what tells it from all others.'),
    urls: arrayParam(url, 'Where to download it, http or https: mirrors of one file, tried in this order.'),
    sha256: param(orNone(sha256), 'The sha256 of what is downloaded.', ''),
    checksums: param(
      text,
      'Instead of `sha256`: a list as sha256sum writes it, or its URL. The line of the file that is downloaded counts.',
      '',
    ),
    waiveChecksum: param(
      text,
      'Instead of both: the name of the tool, once more, to run whatever the URL gives.',
      '',
    ),
    archive: param(
      oneOf(ARCHIVES),
      'What is downloaded. `auto` goes by the name in the URL; `none` is a program by itself.',
      'auto',
    ),
    strip: param(
      wholeNumber('a whole number', 0, 20),
      'How many names are taken off the front of each path in the archive.',
      '0',
    ),
    binaries: param(
      lines,
      'What goes into `path`: paths in the archive (after `strip`), one per line. Empty: all programs right in it and in its `bin`.',
      '',
    ),
    verify: param(
      text,
      'A line for `sh`, such as `terraform version`, that has to succeed before the tool is there for anybody.',
      '',
    ),
    role: param(
      oneOf(['auto', 'download', 'wait']),
      '`auto` downloads, or waits for whoever does. `download` does the same, but only ever to the shared volume. `wait` never downloads.',
      'auto',
    ),
    timeout: param(duration, 'How long to wait for others.', '5m'),
    platform: param(
      orNone(toolPlatform),
      'Operating system and processor, such as `linux-arm64`. Empty for those of the step.',
      '',
    ),
    maxBytes: param(bytes, 'The most that may come out of the archive, such as 512Mi or 10Gi.', '10Gi'),
    fallback: param(
      oneOf(['none', 'local']),
      'What to do if the volume is missing, full, or cannot be written: `none` fails, `local` installs the tool for this task alone and warns.',
      'none',
    ),
    volume: param(
      text,
      'The id of the volume that all consumers are to see, as the result `volume` of another task or `.shared-workspace/format.json` has it. Another one, or an empty folder in its place, is refused.',
      '',
    ),
    localPath: param(text, 'Where `local` installs: a folder of the pod.', '/workspace/tools'),
    backend: LOCK_BACKEND,
  },
  results: {
    path: { description: 'The folder to put first in `PATH`.' },
    version: { description: 'The version.' },
    digest: { description: 'The digest of what it was downloaded as.' },
    hit: {
      description: '`shared` where it was there, `downloaded` where this step has brought it, or `local`.',
    },
    bytes: { description: 'How many bytes this step has fetched.' },
    'waited-ms': { description: 'How long it waited for others, in milliseconds.' },
    volume: { description: 'The id of the volume, or `local`.' },
  },
  workspaces: {
    shared: { description: 'The shared volume. Needed unless `fallback` is `local`.', optional: true },
  },
  configuration: [...TOOL_CONFIGURATION, 'LOCK_BACKEND'],
  errors: [
    'SOURCE_UNREACHABLE',
    'DIGEST_MISMATCH',
    'ARCHIVE_UNSAFE',
    'TOOL_BROKEN',
    'TOOL_NOT_INSTALLED',
    'LOCK_NOT_ACQUIRED',
    'LOCK_LOST',
    'LIVENESS_UNKNOWN',
    'UNSAFE_PATH',
  ],
  resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '2', memory: '512Mi' } },
  api: 'Asks whether whoever downloads is alive: get on pipelineruns and taskruns, list on pods. Without the right to ask, a consumer takes over once the heartbeats have stopped for a minute.',
  sample: {
    name: 'jq',
    version: '1.8.1',
    urls: ['https://github.com/jqlang/jq/releases/download/jq-1.8.1/jq-linux-amd64'],
    checksums: 'https://github.com/jqlang/jq/releases/download/jq-1.8.1/sha256sum.txt',
    verify: 'jq --version',
  },
})

/** What the demo's own steps do, for any source: plain sh and Node, with values by env. */

export const FETCH = `#!/bin/sh
set -eu
mkdir -p "$CONTENT/source"
if [ -d "$SOURCE" ]; then
  tar -C "$SOURCE" --exclude ./.git --exclude ./node_modules --exclude ./.demo -cf - . | tar -C "$CONTENT/source" -xf -
elif [ -f "$SOURCE" ]; then
  # Not every tar finds out by itself how an archive is compressed.
  case "$SOURCE" in
    *.tgz | *.tar.gz) how=-xzf ;;
    *.txz | *.tar.xz) how=-xJf ;;
    *) how=-xf ;;
  esac
  tar -C "$CONTENT/source" "$how" "$SOURCE"
else
  echo "expected a folder or a tarball at $SOURCE, found neither" >&2
  exit 37
fi
echo "fetched $(find "$CONTENT/source" -type f | wc -l) files"
`

export const BUILD = `#!/bin/sh
set -eu
cp -R "$CONTENT/source" source
if [ -n "$BUILD_COMMAND" ]; then
  cd source
  sh -c "$BUILD_COMMAND"
  cd ..
  cp -R "source/$BUILD_OUTPUT" build
else
  # For any source: TypeScript loses its types, the rest is copied, and every file is listed with its digest.
  cat > build.cjs <<'JS'
const fs = require('node:fs')
const path = require('node:path')
const { createHash } = require('node:crypto')
const { stripTypeScriptTypes } = require('node:module')

const sums = []
for (const entry of fs.readdirSync('source', { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue
  const from = path.join(entry.parentPath, entry.name)
  const plain = path.relative('source', from)
  let data = fs.readFileSync(from)
  let name = plain
  if (/\\.ts$/.test(plain) && !/\\.d\\.ts$/.test(plain)) {
    try {
      data = Buffer.from(stripTypeScriptTypes(data.toString()))
      name = plain.replace(/\\.ts$/, '.js')
    } catch (error) {
      console.log('kept as it is: ' + plain + ': ' + error.message.split('\\n')[0])
    }
  }
  const to = path.join('build', name)
  fs.mkdirSync(path.dirname(to), { recursive: true })
  fs.writeFileSync(to, data, { mode: fs.statSync(from).mode & 0o777 })
  sums.push(createHash('sha256').update(data).digest('hex') + '  ' + name)
}
fs.mkdirSync('build', { recursive: true })
fs.writeFileSync('build/SHA256SUMS', sums.sort().join('\\n') + '\\n')
console.log('built ' + sums.length + ' files')
JS
  node --disable-warning=ExperimentalWarning build.cjs
fi
`

export const CHECK = `#!/bin/sh
set -eu
cd build
if [ -n "$CHECK_COMMAND" ]; then
  sh -c "$CHECK_COMMAND"
  exit
fi
cat > ../check.cjs <<'JS'
const fs = require('node:fs')
const { createHash } = require('node:crypto')

if (!fs.existsSync('SHA256SUMS')) throw new Error('expected SHA256SUMS in the build; set checkCommand for your own')
const lines = fs.readFileSync('SHA256SUMS', 'utf8').split('\\n').filter(Boolean)
for (const line of lines) {
  const [sum, name] = [line.slice(0, 64), line.slice(66)]
  const found = createHash('sha256').update(fs.readFileSync(name)).digest('hex')
  if (found !== sum) throw new Error(name + ': expected ' + sum + ', found ' + found)
}
console.log('checked ' + lines.length + ' files')
JS
node ../check.cjs
`

export const PACKAGE = `#!/bin/sh
set -eu
mkdir package
tar -C build -czf package/build.tgz .
echo "packed $(wc -c < package/build.tgz) bytes"
`

export const AGENT = `#!/bin/sh
set -eu
# The agent's private folder outlives the run; what is for others goes to its artifacts.
umask 002
mkdir -p "$AGENT_FOLDER" "$ARTIFACTS"
cd "$AGENT_FOLDER"
if [ -n "$AGENT_COMMAND" ]; then
  sh -c "$AGENT_COMMAND"
else
  echo "$RUN_ID" >> runs.txt
  {
    echo "# $AGENT"
    echo "Run $RUN_ID, runs so far: $(wc -l < runs.txt)"
    echo "Files in the workspace: $(find "$CONTENT" -type f | wc -l)"
  } > "$ARTIFACTS/$AGENT.md"
fi
`

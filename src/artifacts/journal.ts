/**
 * Moves staged files into a folder that exists, name by name. What is to be done stands in a journal before the
 * first name appears; a call that is killed leaves journal and files, and the next one into the same folder
 * completes them. Every move can be done again, also by two calls at once, and none replaces anything.
 */
import { parseJson } from '../json.ts'
import { join } from 'node:path'
import * as z from '../zod.ts'
import { errno, ignoreMissing, WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { publishFile, TEMPORARY } from '../volume/publish.ts'
import { FileEntry, FolderEntry, LinkEntry, type IndexEntry } from './artifact-index.ts'
import { canonicalJson } from './canonical.ts'
import { compare, conflict } from './compare-target.ts'
import { setModes } from './new-folder.ts'
import { checkLinks, checkPath } from './safe-path.ts'

const NAME = 'journal.json'

const Journal = z.object({
  folders: z.array(FolderEntry),
  /** `staged` is the file's name in the staging folder. */
  files: z.array(z.object({ staged: z.string().check(z.regex(/^\d+$/)), entry: FileEntry })),
  links: z.array(LinkEntry),
})

export type Journal = z.infer<typeof Journal>

/** Writes the journal of a staging folder: from here on its moves will be done. */
export async function writeJournal(staging: string, journal: Journal): Promise<void> {
  await publishFile(join(staging, NAME), canonicalJson(journal))
}

/** Completes what earlier calls into `target` left. Staging folders without a journal may be at work: they stay. */
export async function completeAll(target: string): Promise<void> {
  for (const item of await fs.list(target)) {
    if (item.isDirectory() && item.name.startsWith(TEMPORARY)) await complete(target, join(target, item.name))
  }
}

/**
 * Does what the journal in `staging` says and removes both.
 * @throws WorkspaceError TARGET_CONFLICT where somebody took a name meanwhile; the journal stays
 */
export async function complete(target: string, staging: string): Promise<void> {
  const journal = await readJournal(join(staging, NAME))
  if (!journal) return
  for (const folder of journal.folders) {
    if (!(await fs.mkdir(join(target, folder.path)))) await mustBeSame(target, folder)
  }
  for (const { staged, entry } of journal.files) await move(target, join(staging, staged), entry)
  for (const link of journal.links) await makeLink(target, link)
  await setModes(target, journal.folders)
  // Without its journal the folder is waste, whatever is left of it.
  await fs.unlink(join(staging, NAME)).catch(ignoreMissing)
  await fs.removeTree(staging)
}

async function readJournal(path: string): Promise<Journal | undefined> {
  let bytes: Buffer
  try {
    bytes = await fs.readFile(path)
  } catch (error) {
    ignoreMissing(error)
    return undefined
  }
  const parsed = Journal.safeParse(parseJson(bytes))
  if (!parsed.success) {
    throw new WorkspaceError('TARGET_CONFLICT', `${path} is not the journal of a retrieval`, {
      found: z.prettifyError(parsed.error),
      hint: 'remove this folder, or retrieve into another one',
    })
  }
  const { folders, files, links } = parsed.data
  for (const { path: name } of [...folders, ...files.map(({ entry }) => entry), ...links]) checkPath(name)
  checkLinks(new Map(links.map((link) => [link.path, link.target])))
  return parsed.data
}

/** By link(2), which never replaces; rename would. */
async function move(target: string, staged: string, entry: FileEntry): Promise<void> {
  try {
    await fs.link(staged, join(target, entry.path))
  } catch (error) {
    // ENOENT: another call has completed this journal and removed the staged file.
    if (!['EEXIST', 'ENOENT'].includes(errno(error) ?? '')) throw error
    await mustBeSame(target, entry)
  }
}

async function makeLink(target: string, link: LinkEntry): Promise<void> {
  try {
    await fs.symlink(link.target, join(target, link.path))
  } catch (error) {
    if (errno(error) !== 'EEXIST') throw error
    await mustBeSame(target, link)
  }
}

async function mustBeSame(target: string, entry: IndexEntry): Promise<void> {
  const state = await compare(target, entry)
  if (state === 'same') return
  throw conflict(target, [`${entry.path} (${state === 'absent' ? 'gone' : state.found})`])
}

import { mkdir, readFile, rmdir } from 'node:fs/promises'

/** Makes the folders that are missing. Returns the ones made. */
export async function makeMountPoints(folders: readonly string[]): Promise<string[]> {
  const made: string[] = []
  for (const folder of folders) {
    // mkdir says which folder it had to make, if any.
    if ((await mkdir(folder, { recursive: true })) !== undefined) made.push(folder)
  }
  return made
}

/** Removes them again where they are still empty. */
export async function removeMountPoints(folders: readonly string[]): Promise<void> {
  for (const folder of folders.toReversed()) await rmdir(folder).catch(() => undefined)
}

/** What is mounted below a folder, as this process or another one sees it. */
export async function mountsBelow(folder: string, pid: number | 'self' = 'self'): Promise<string[]> {
  const table = await readFile(`/proc/${pid}/mountinfo`, 'utf8')
  const places = table.split('\n').map((line) => line.split(' ')[4] ?? '')
  return places.filter((place) => place === folder || place.startsWith(`${folder}/`))
}

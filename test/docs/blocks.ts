/** The code blocks of README and docs/, as readers copy them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url))

export interface Block {
  /** Path of the document, relative to the project. */
  readonly path: string
  /** Number of the line after the fence. */
  readonly line: number
  readonly language: string
  readonly text: string
}

export function documents(): string[] {
  const under = (directory: string): string[] =>
    readdirSync(join(root, directory), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)))
  return ['README.md', ...under('docs')].toSorted()
}

export const readDocument = (path: string): string => readFileSync(join(root, path), 'utf8')

export function blocksOf(path: string): Block[] {
  const fence = /^```(?<language>\w*)\n(?<text>.*?)^```$/gms
  const document = readDocument(path)
  return [...document.matchAll(fence)].map(({ index, groups }) => ({
    path,
    line: document.slice(0, index).split('\n').length + 1,
    language: groups?.['language'] ?? '',
    text: groups?.['text'] ?? '',
  }))
}

export const allBlocks = (...languages: readonly string[]): Block[] =>
  documents()
    .flatMap(blocksOf)
    .filter(({ language }) => languages.includes(language))

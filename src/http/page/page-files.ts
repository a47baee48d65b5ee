/** The built files of the live page, in memory: a path of the disk is never made from a request. */
import { hash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface PageFile {
  readonly type: string
  readonly etag: string
  readonly plain: Buffer
  /** The same, compressed by the build; by name of the coding, best first. */
  readonly packed: readonly { readonly coding: 'br' | 'gzip'; readonly bytes: Buffer }[]
}

/** By path below the page, `assets/main-1a2b3c.js`. */
export type PageFiles = ReadonlyMap<string, PageFile>

export const pageDocument = 'index.html'

const types: Readonly<Record<string, string>> = {
  css: 'text/css; charset=utf-8',
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
}
/** Beside the compiled code; where the sources run, in `dist/` as well. */
const places = ['../../../web/', '../../../dist/web/'].map((path) => fileURLToPath(new URL(path, import.meta.url)))
/** About 30 kB compressed. */
let files: PageFiles | undefined

/** Reads them once, at the first use. @returns none where the page was not built */
export function pageFiles(): PageFiles {
  return (files ??= readPageFiles())
}

function readPageFiles(): PageFiles {
  const place = places.find((path) => existsSync(`${path}${pageDocument}.br`))
  if (place === undefined) return new Map()
  const names = readdirSync(place, { recursive: true, encoding: 'utf8' }).map((name) => name.replaceAll('\\', '/'))
  return new Map(
    names.flatMap((name) => {
      const type = types[name.slice(name.lastIndexOf('.') + 1)]
      return type === undefined ? [] : [[name, readPageFile(place + name, type)] as const]
    }),
  )
}

function readPageFile(path: string, type: string): PageFile {
  const plain = readFileSync(path)
  const packed = [
    { coding: 'br', bytes: readFileSync(`${path}.br`) },
    { coding: 'gzip', bytes: readFileSync(`${path}.gz`) },
  ] as const
  return { type, plain, packed, etag: `"${hash('sha256', plain).slice(0, 24)}"` }
}

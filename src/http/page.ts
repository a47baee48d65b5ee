/**
 * Serves the live page: its document at the root, for clients that ask for HTML, and its assets, whose names contain a
 * hash of their content. All of it works below any path, for the page refers to nothing but relative addresses.
 */
import type { Context } from 'koa'
import { isNotModified, originalUrlOf } from './request-head.ts'
import { hash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

// Nothing inline, and nothing from another host. Images may be data: the page shows results that are SVG in <img>.
const contentPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')
const yearS = 31_536_000
/** As the build names them: with a hash of their content. */
const assetName = /^\/assets\/[\w-]+-[\w-]{8}\.(?:js|css|svg)$/
const mostTries = 8

/** @returns false where the client does not ask for HTML, or the page was not built */
export function sendPage(ctx: Context): boolean {
  const file = pageFiles().get(pageDocument)
  ctx.vary('Accept')
  // In this order: a client that takes anything is a program.
  if (file === undefined || ctx.accepts('text/plain', 'text/html') !== 'text/html') return false
  const directory = directoryOf(originalUrlOf(ctx.req, ctx.originalUrl))
  if (directory !== null) {
    // Without the slash, its relative addresses would leave out the last part of the path.
    ctx.status = 308
    ctx.set('Location', directory)
    return true
  }
  ctx.set({ 'Content-Security-Policy': contentPolicy, 'Referrer-Policy': 'no-referrer', 'Cache-Control': 'no-cache' })
  sendFile(ctx, file)
  return true
}

/** An asset of this version of the page, or, by its name, of another version that the same balancer serves. */
export function isAsset(path: string): boolean {
  return assetName.test(path) && pageFiles().size > 0
}

/** @returns false for everything that is not an asset */
export function sendAsset(ctx: Context, path: string): boolean {
  if (!isAsset(path) || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return false
  const file = pageFiles().get(path.slice(1))
  if (file === undefined) return sendElsewhere(ctx, path)
  ctx.set({ 'Cache-Control': `public, max-age=${yearS}, immutable`, 'X-Content-Type-Options': 'nosniff' })
  sendFile(ctx, file)
  return true
}

/**
 * While a balancer serves two versions, one can send the document and the other one get the requests for its assets: the
 * client is sent to the same address again, until the balancer chooses the right version.
 * @returns false after the last try
 */
function sendElsewhere(ctx: Context, path: string): boolean {
  const tries = /^\?try=(?<tries>\d)$/.exec(ctx.search)?.groups?.['tries'] ?? '0'
  if (Number(tries) >= mostTries) return false
  ctx.status = 307
  ctx.set({
    Location: `${path.slice(path.lastIndexOf('/') + 1)}?try=${Number(tries) + 1}`,
    'Cache-Control': 'no-store',
  })
  // The next request is a new connection's, where the balancer chooses by connection.
  ctx.set('Connection', 'close')
  return true
}

function sendFile(ctx: Context, { type, etag, plain, packed }: PageFile): void {
  ctx.vary('Accept-Encoding')
  // By our order: of codings that they like as much, browsers name gzip first.
  const match = packed.find(({ coding }) => ctx.acceptsEncodings(coding) === coding)
  const ownTag = match === undefined ? etag : `${etag.slice(0, -1)}-${match.coding}"`
  ctx.status = 200
  ctx.set({ ETag: ownTag, 'Content-Type': type })
  if (match !== undefined) ctx.set('Content-Encoding', match.coding)
  if (isNotModified(ctx.get('If-None-Match'), ownTag)) ctx.status = 304
  else ctx.body = match?.bytes ?? plain
}

/** The same address with a slash at its end, relative to the one asked for; null where it has one. */
function directoryOf(url: string): string | null {
  const [path = '', ...query] = url.split('?')
  if (path.endsWith('/')) return null
  return `./${path.slice(path.lastIndexOf('/') + 1)}/${query.length === 0 ? '' : `?${query.join('?')}`}`
}

/** The built files of the live page, in memory: a path of the disk is never made from a request. */
interface PageFile {
  readonly type: string
  readonly etag: string
  readonly plain: Buffer
  /** The same, compressed by the build; by name of the coding, best first. */
  readonly packed: readonly { readonly coding: 'br' | 'gzip'; readonly bytes: Buffer }[]
}

/** By path below the page, `assets/main-1a2b3c.js`. */
type PageFiles = ReadonlyMap<string, PageFile>

const pageDocument = 'index.html'

const types: Readonly<Record<string, string>> = {
  css: 'text/css; charset=utf-8',
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
}
/** Beside the compiled code; where the sources run, in `dist/` as well. */
const places = ['../../web/', '../../dist/web/'].map((path) => fileURLToPath(new URL(path, import.meta.url)))
/** About 30 kB compressed. */
let files: PageFiles | undefined

/** Reads them once, at the first use. @returns none where the page was not built */
function pageFiles(): PageFiles {
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

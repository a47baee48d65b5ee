/**
 * Serves the live page: its document at the root, for clients that ask for HTML, and its assets, whose names contain a
 * hash of their content. The page has relative addresses only, so it works below any path.
 */
import { hash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Context } from 'koa'
import { isNotModified, originalUrlOf } from './request-head.ts'

// Nothing inline, and nothing from another host. Images may be `data:` URLs, because the page shows SVG results in <img>.
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
const assetName = /^\/assets\/[\w-]+-[\w-]{8}\.(?:js|css|svg)$/
const maxTries = 8

/** @returns false if the client does not ask for HTML, or the page was not built */
export function sendPage(ctx: Context): boolean {
  const file = pageFiles().get(pageDocument)
  ctx.vary('Accept')
  // `accepts` picks the first type for `*/*`, which programs send: they get text.
  if (file === undefined || ctx.accepts('text/plain', 'text/html') !== 'text/html') return false
  const directory = directoryOf(originalUrlOf(ctx.req, ctx.originalUrl))
  if (directory !== null) {
    // Without the slash, a browser would resolve relative addresses without the last part of the path.
    ctx.status = 308
    ctx.set('Location', directory)
    return true
  }
  ctx.set({ 'Content-Security-Policy': contentPolicy, 'Referrer-Policy': 'no-referrer', 'Cache-Control': 'no-cache' })
  sendFile(ctx, file)
  return true
}

/** Whether the path is an asset of this version of the page or, judging by its name, of another version. */
export function isAsset(path: string): boolean {
  return assetName.test(path) && pageFiles().size > 0
}

/** @returns false if the path is no asset */
export function sendAsset(ctx: Context, path: string): boolean {
  if (!isAsset(path) || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return false
  const file = pageFiles().get(path.slice(1))
  if (file === undefined) return sendToOtherVersion(ctx, path)
  ctx.set({ 'Cache-Control': `public, max-age=${yearS}, immutable`, 'X-Content-Type-Options': 'nosniff' })
  sendFile(ctx, file)
  return true
}

/**
 * While a load balancer serves two versions, one may send the document and the other one get the requests for its assets.
 * The client is redirected to the same address until the balancer picks the right version.
 * @returns false after the last try
 */
function sendToOtherVersion(ctx: Context, path: string): boolean {
  const tries = Number(/^\?try=(?<tries>\d)$/.exec(ctx.search)?.groups?.['tries'] ?? '0')
  if (tries >= maxTries) return false
  ctx.status = 307
  ctx.set({
    Location: `${path.slice(path.lastIndexOf('/') + 1)}?try=${tries + 1}`,
    'Cache-Control': 'no-store',
    // The next request needs a new connection, in case the balancer picks a version per connection.
    Connection: 'close',
  })
  return true
}

function sendFile(ctx: Context, { type, etag, plain, compressed }: PageFile): void {
  ctx.vary('Accept-Encoding')
  // The first coding that the client accepts: browsers list gzip first, though they accept all codings equally.
  const match = compressed.find(({ coding }) => ctx.acceptsEncodings(coding) === coding)
  const ownTag = match === undefined ? etag : `${etag.slice(0, -1)}-${match.coding}"`
  ctx.status = 200
  ctx.set({ ETag: ownTag, 'Content-Type': type })
  if (match !== undefined) ctx.set('Content-Encoding', match.coding)
  if (isNotModified(ctx.get('If-None-Match'), ownTag)) ctx.status = 304
  else ctx.body = match?.bytes ?? plain
}

/** @returns the same address with a slash at its end, relative to the requested one; null if it has one */
function directoryOf(url: string): string | null {
  const [path = '', ...query] = url.split('?')
  if (path.endsWith('/')) return null
  return `./${path.slice(path.lastIndexOf('/') + 1)}/${query.length === 0 ? '' : `?${query.join('?')}`}`
}

interface PageFile {
  readonly type: string
  readonly etag: string
  readonly plain: Buffer
  /** As the build has compressed it, the best coding first. */
  readonly compressed: readonly { readonly coding: 'br' | 'gzip'; readonly bytes: Buffer }[]
}

/** By path below the page, such as `assets/main-1a2b3c.js`. Files are read once: no request names a path of the disk. */
type PageFiles = ReadonlyMap<string, PageFile>

const pageDocument = 'index.html'

const types: Readonly<Record<string, string>> = {
  css: 'text/css; charset=utf-8',
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
}
/** The page is built into `dist/web`. The first path is right for compiled code, the second one for the sources. */
const directories = ['../../web/', '../../dist/web/'].map((path) => fileURLToPath(new URL(path, import.meta.url)))
let files: PageFiles | undefined

/** Reads the files at the first use. @returns an empty map if the page was not built */
function pageFiles(): PageFiles {
  return (files ??= readPageFiles())
}

function readPageFiles(): PageFiles {
  const directory = directories.find((path) => existsSync(`${path}${pageDocument}.br`))
  if (directory === undefined) return new Map()
  const paths = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  return new Map(
    paths.flatMap((path) => {
      const type = types[path.slice(path.lastIndexOf('.') + 1)]
      return type === undefined ? [] : [[path.replaceAll('\\', '/'), readPageFile(directory + path, type)] as const]
    }),
  )
}

function readPageFile(path: string, type: string): PageFile {
  const plain = readFileSync(path)
  const compressed = [
    { coding: 'br', bytes: readFileSync(`${path}.br`) },
    { coding: 'gzip', bytes: readFileSync(`${path}.gz`) },
  ] as const
  return { type, plain, compressed, etag: `"${hash('sha256', plain).slice(0, 24)}"` }
}

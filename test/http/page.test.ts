/** How the live page is served: to whom, by which policy, and for how long its files can be kept. */
import { get } from 'node:http'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hosts } from '../library/hosts.ts'
import { create } from '../library/instance.ts'
import { shareService, startService } from '../harness/service.ts'
import { expectProblem } from './expect-problem.ts'

const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'

async function documentOf(url: string): Promise<{ readonly response: Response; readonly html: string }> {
  const response = await fetch(url, { headers: { Accept: browser } })
  return { response, html: await response.text() }
}

const assetsIn = (html: string): string[] =>
  [...html.matchAll(/(?:src|href)="(?<path>[^"]+)"/g)].map(([, path]) => path ?? '')

/** The body as it was sent, and the name of its coding. */
function fetchRaw(url: string, coding: string): Promise<{ readonly coding: string; readonly body: Buffer }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ readonly coding: string; readonly body: Buffer }>()
  get(url, { headers: { 'Accept-Encoding': coding } }, (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('end', () =>
      resolve({ coding: response.headers['content-encoding'] ?? '', body: Buffer.concat(chunks) }),
    )
  }).on('error', reject)
  return promise
}

test('a browser gets the page, by a policy that allows nothing inline and nothing from elsewhere', async () => {
  await using service = await shareService()
  const { response, html } = await documentOf(service.url)
  assert.is(response.status, 200)
  assert.is(response.headers.get('Content-Type'), 'text/html; charset=utf-8')
  assert.match(response.headers.get('Vary') ?? '', /Accept\b/)
  assert.is(response.headers.get('Cache-Control'), 'no-cache')
  const policy = response.headers.get('Content-Security-Policy') ?? ''
  assert.match(policy, "default-src 'none'; script-src 'self'; style-src 'self';")
  assert.not.match(policy, /unsafe|https?:/)
  assert.not.match(html, /<script(?![^>]*src=)|<style|style=|\son\w+=/)
  assert.ok(assetsIn(html).length >= 3, html)
  for (const path of assetsIn(html)) assert.match(path, /^\.\/assets\/[\w-]+-[\w-]{8}\.(?:js|css|svg)$/)

  const tag = response.headers.get('ETag') ?? ''
  const again = await fetch(service.url, { headers: { Accept: browser, 'If-None-Match': tag } })
  assert.is(again.status, 304)
})

test('assets are cached forever; one of another version is redirected a few times', async () => {
  await using service = await startService({ apiKeys: ['key'] })
  const { html } = await documentOf(service.url)
  for (const path of assetsIn(html)) {
    const url = new URL(path, `${service.url}/`).href
    const response = await fetch(url)
    assert.is(response.status, 200, path)
    assert.is(response.headers.get('Cache-Control'), 'public, max-age=31536000, immutable')
    assert.is(response.headers.get('X-Content-Type-Options'), 'nosniff')
    const text = await response.text()
    assert.is((await fetch(url, { method: 'HEAD' })).status, 200)
    const packed = [await fetchRaw(url, 'gzip, br'), await fetchRaw(url, 'gzip'), await fetchRaw(url, 'identity')]
    assert.equal(
      packed.map(({ coding }) => coding),
      ['br', 'gzip', ''],
    )
    assert.is(brotliDecompressSync(packed[0]?.body ?? '').toString(), text)
    assert.is(gunzipSync(packed[1]?.body ?? '').toString(), text)
    assert.is(packed[2]?.body.toString(), text)
  }
  const others = [
    '/assets/index-00000000.js?try=8',
    '/assets/index-00000000.js.map',
    '/assets/',
    '/assets/..%2findex.html',
    '/assets/../index.html',
    '/index.html',
  ]
  for (const path of others) await expectProblem(await service.get(path), 'not-found')
  await expectProblem(await service.post('/assets/index-00000000.js'), 'not-found')
  const other = await fetch(`${service.url}/assets/index-00000000.js`, { redirect: 'manual' })
  assert.is(other.status, 307)
  assert.is(other.headers.get('Location'), 'index-00000000.js?try=1')
  assert.is(other.headers.get('Cache-Control'), 'no-store')
  assert.is((await fetch(`${service.url}/assets/index-00000000.js`)).status, 404)
})

for (const name of ['Koa', 'Express', 'Express, mounted at the prefix', 'Fastify with middie', 'node:http'] as const) {
  test(`works below a prefix: ${name}`, async () => {
    await using instance = create()
    await instance.forerunner.start()
    await using host = await hosts[name]?.(instance.forerunner, '/jobs/v1')
    const { response, html } = await documentOf(`${host?.url}/jobs/v1?state=failed`)
    assert.is(response.url, `${host?.url}/jobs/v1/?state=failed`, 'relative addresses need the slash')
    for (const path of assetsIn(html)) assert.is((await fetch(new URL(path, response.url))).status, 200, path)
  })
}

test('in an app of somebody else, without a prefix, the root and the assets are that app’s', async () => {
  await using instance = create()
  await instance.forerunner.start()
  await using service = await shareService()
  const [asset = ''] = assetsIn((await documentOf(service.url)).html)
  await using host = await hosts['Koa']?.(instance.forerunner)
  assert.is((await documentOf(`${host?.url}/`)).html, 'mine')
  assert.is((await fetch(new URL(asset, `${host?.url}/`))).status, 404)
})

test.run()

/** Every command with `curl` runs against a real service, and prints what its document shows. */
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunView } from '../../src/client/client.ts'
import { webhookSecret } from '../harness/receiver.ts'
import { startService, type Service } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { blocksOf, documents, type Block } from './blocks.ts'
import { commandsOf, missing, shell, type Command } from './session.ts'

const tasksDir = fileURLToPath(new URL('../fixtures/docs-tasks/', import.meta.url))
const anyId = /\{id\}|[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g

/** `test/package/install.test.ts` runs those with `npx`, where the package is installed. */
const isTyped = ({ language, text }: Block): boolean =>
  ['sh', 'console'].includes(language) && /^(?:\$ )?curl\b|\| curl\b/m.test(text) && !/\bnpx\b/.test(text)

/** A block of JSON after a command shows its output. */
function withAnswer(block: Block, index: number, all: readonly Block[]): Block & { readonly answer: string } {
  const next = all[index + 1]
  return { ...block, answer: block.language === 'sh' && next?.language === 'json' ? next.text : '' }
}

const typed = documents()
  .map((path) => ({ path, blocks: blocksOf(path).map(withAnswer).filter(isTyped) }))
  .filter(({ blocks }) => blocks.length > 0)

test('detects output that a document shows and a service does not print', () => {
  const text = `$ curl -si localhost/a \\
  -d '{
}'
HTTP/1.1 200 OK
ETag: W/"1"

{"id":"…","type":"/problems/a"}
$ curl localhost/b
{}
`
  const commands = commandsOf('console', text)
  assert.equal(
    commands.map(({ line }) => line.split('\n').length),
    [3, 1],
  )
  const shown = commands[0]?.shown ?? ''
  assert.equal(missing(shown, 'HTTP/1.1 200 OK\r\nETag: W/"7"\r\n\r\n{"id":"1","type":"/problems/a"}'), [])
  assert.equal(missing(shown, 'HTTP/1.1 404 Not Found\r\n\r\n{"type":"/problems/b"}'), [
    'HTTP/1.1 200 OK',
    'ETag:',
    '"id":',
    '"type":"/problems/a"',
  ])
})

test('there are commands with curl', () => assert.ok(typed.flatMap(({ blocks }) => blocks).length > 15))

for (const { path, blocks } of typed) {
  test(`the commands of ${path} print what it shows`, async () => {
    await using open = await startService({ tasksDir, threads: 1, webhookSecret: [webhookSecret] })
    await using closed = await startService({ tasksDir, threads: 1, apiKeys: ['key'] })
    for (const { line, language, text, answer } of blocks) {
      const service = text.includes('Authorization') ? closed : open
      const id = service === open ? await makeRun(service, text) : ''
      for (const command of commandsOf(language, text, answer)) {
        assert.equal(await type(service, id, command), [], `${path}, line ${line}: ${command.line}`)
      }
    }
  })
}

/** The run that a block refers to: its last job is still running, unless a command cancels it. */
async function makeRun(service: Service, text: string): Promise<string> {
  // A poll must start before its run changes, however slowly curl starts.
  const isPolled = text.includes('wait=30')
  const second = { name: 'second', input: { ms: text.includes('/cancel') ? 60_000 : isPolled ? 3_000 : 100 } }
  const third = { name: 'third', input: isPolled ? { ms: 60_000 } : {} }
  const response = await service.post('/run-tasks', { tasks: [{ name: 'first' }, second, third] })
  const { id } = (await response.json()) as RunView
  return id
}

/** @returns what the document shows and the command did not print */
async function type(service: Service, id: string, { line, shown }: Command): Promise<string[]> {
  const read = (): Promise<Response> => service.get(`/runs/${id}`)
  if (line.includes('-X DELETE')) await service.post(`/runs/${id}/cancel`)
  // What is forgotten, known whole, or one of several that have ended.
  if (/-X DELETE| 304 |state=completed/.test(line + shown))
    await until('the run has ended', async () => ((await (await read()).json()) as RunView).state !== 'running')
  let given = line.replaceAll('localhost:3000', service.url.replace('http://', '')).replaceAll(anyId, id)
  if (given.includes('If-None-Match')) given = given.replace(/W\/"\d+"/, (await read()).headers.get('etag') ?? '')
  if (shown.includes('Idempotency-Replayed')) await shell(given)
  const printed = await shell(given)
  // If a document shows nothing, the request must succeed.
  return shown === '' && printed.includes('"/problems/') ? [printed] : missing(shown, printed)
}

test.run()

/**
 * Copies of a picture in several sizes: the smallest is the answer, the others are made meanwhile.
 * `node docs/examples/thumbnails/thumbnails.ts PICTURE DIRECTORY`
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createForerunner } from 'forerunner'
import thumbnail from '../../../workers/thumbnail.ts'

const [picture = 'docs/page/run-running.png', directory = '.'] = process.argv.slice(2)
const image = (await readFile(picture)).toString('base64')

await using forerunner = createForerunner({
  tasks: { thumbnail: new URL('../../../workers/thumbnail.ts', import.meta.url) },
  databaseUrl: 'sqlite::memory:',
  logLevel: 'warn',
})
await forerunner.start()

const run = await forerunner.run([96, 320, 1024].map((widthPx) => thumbnail({ image, widthPx })))
console.log(`preview of ${run.result?.widthPx} × ${run.result?.heightPx} pixels`)

for (const { result } of (await forerunner.waitForRun(run.id)).jobs) {
  const made = result as { image: string; format: string; widthPx: number }
  const file = join(directory, `thumbnail-${made.widthPx}.${made.format}`)
  await writeFile(file, Buffer.from(made.image, 'base64'))
  console.log(`wrote ${file}`)
}

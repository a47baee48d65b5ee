/** The image without an engine to build it: its user can write where its default database is. */
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const text = readFileSync(new URL('../Dockerfile', import.meta.url), 'utf8')
const lastStage = text.slice(text.lastIndexOf('\nFROM '))
const beforeUser = lastStage.slice(0, lastStage.indexOf('USER node\n'))

test('the default database of the image is in a volume that belongs to its user', () => {
  const path = /DATABASE_URL=sqlite:(?<path>\S+)/.exec(beforeUser)?.groups?.['path'] ?? ''
  const directory = dirname(path)
  assert.is(directory, '/data')
  assert.ok(beforeUser.includes(`mkdir ${directory} && chown node:node ${directory}\n`))
  assert.ok(beforeUser.indexOf(`VOLUME ${directory}\n`) > beforeUser.indexOf('chown'), 'what follows VOLUME is dropped')
})

test('tasks in a package of their own find forerunner', () => {
  assert.match(beforeUser, /\nRUN ln -s \.\. node_modules\/forerunner\n/)
})

test.run()

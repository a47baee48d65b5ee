/** What the tests of the page share. */
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { readRun } from '../harness/run.ts'
import type { Service } from '../harness/service.ts'
import type { Tab } from './browser.ts'

export const tasksDir = fileURLToPath(new URL('../fixtures/page-tasks/', import.meta.url))
export const start = async (service: Service, body: object, key = ''): Promise<string> =>
  (await readRun(await service.post('/run-tasks', body, key === '' ? {} : { Authorization: `Bearer ${key}` }))).id

export const laneOf = (page: Page, name: RegExp) => page.getByRole('list').locator('.row').filter({ hasText: name })

/** Nothing on the console, no request elsewhere, nothing that the policy had to stop. */
export function checkClean({ wrongs }: Tab): void {
  assert.equal(wrongs, [])
}

/** What the tests of the page share. */
import { fileURLToPath } from 'node:url'
import type { Locator, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { readRun } from '../harness/run.ts'
import type { Service } from '../harness/service.ts'
import type { Tab } from './browser.ts'

export const tasksDir = fileURLToPath(new URL('../fixtures/page-tasks/', import.meta.url))
export const start = async (service: Service, body: object, key = ''): Promise<string> =>
  (await readRun(await service.post('/run-tasks', body, key === '' ? {} : { Authorization: `Bearer ${key}` }))).id

export const laneOf = (page: Page, name: RegExp) => page.getByRole('list').locator('.row').filter({ hasText: name })

/** What the first button for it within `where` shows, without the address of the service. */
export async function commandsIn(page: Page, where: Locator): Promise<string[]> {
  await where.getByRole('button', { name: 'as a command' }).first().click()
  const lines = await page.locator('.commands:popover-open pre').allTextContents()
  await page.keyboard.press('Escape')
  await page.locator('.commands:popover-open').waitFor({ state: 'detached' })
  return lines.map((line) => line.replaceAll(/ --url \S+|http:\/\/[^/]+/g, ''))
}

/** Nothing on the console, no request elsewhere, nothing that the policy had to stop. */
export function checkClean({ wrongs }: Tab): void {
  assert.equal(wrongs, [])
}

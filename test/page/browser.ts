/**
 * Chromium for the tests of the page: the one that CHROMIUM_PATH names, or that of @sparticuz/chromium. Pages that it
 * opens note what must not happen: errors on the console, and what the Content-Security-Policy has stopped.
 */
import chromium from '@sparticuz/chromium'
import { chromium as playwright, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'

export interface Tab extends AsyncDisposable {
  readonly page: Page
  /** Whatever went wrong in it, one line each. */
  readonly wrongs: readonly string[]
}

export interface TestBrowser extends AsyncDisposable {
  open(url: string, options?: BrowserContextOptions): Promise<Tab>
}

/** With which closing one page ends the browser. */
const unwanted = new Set(['--single-process', '--no-zygote'])
const timeoutMs = 10_000
/** This host, under a name that makes its pages no secure context. */
export const plainHost = 'plain.test'

/** @param program Chromium's; default: as above */
export async function startBrowser(program?: string): Promise<TestBrowser> {
  const browser = await launch(program ?? process.env['CHROMIUM_PATH'] ?? (await chromium.executablePath()))
  return {
    async open(url, options = {}) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options })
      context.setDefaultTimeout(timeoutMs)
      const page = await context.newPage()
      const wrongs: string[] = []
      page.on('pageerror', (error) => wrongs.push(String(error)))
      page.on('console', (message) => {
        if (message.type() === 'error' || message.type() === 'warning') wrongs.push(message.text())
      })
      const { origin } = new URL(url)
      page.on('request', (request) => {
        const to = request.url()
        if (!to.startsWith(`${origin}/`) && !to.startsWith('data:') && !to.startsWith('blob:'))
          wrongs.push(`asked ${to}`)
      })
      await page.goto(url)
      return { page, wrongs, [Symbol.asyncDispose]: () => context.close() }
    },
    [Symbol.asyncDispose]: () => browser.close(),
  }
}

async function launch(executablePath: string): Promise<Browser> {
  const args = [
    ...chromium.args.filter((arg) => !unwanted.has(arg)),
    '--no-sandbox',
    '--disable-background-networking',
    `--host-resolver-rules=MAP ${plainHost} 127.0.0.1`,
  ]
  return playwright.launch({ executablePath, args, headless: true })
}

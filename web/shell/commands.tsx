/** Shows the actions of buttons as `curl` and as a command line. */
import { useId } from 'preact/hooks'
import { CopyButton } from './copy-button.tsx'
import { baseUrl, curlKey, isReadOnly } from './service.ts'

export interface Action {
  /** Path below the page's address. */
  readonly path: string
  /** Arguments of the command. */
  readonly words: readonly string[]
}

/** The command's default address. */
const defaultUrl = 'http://127.0.0.1:3000/'

/** The button that shows the commands, next to the buttons of the actions. */
export function AsCommands({ actions }: { readonly actions: readonly Action[] }) {
  const id = useId()
  if (actions.length === 0 || isReadOnly.value) return null
  return (
    <>
      <button
        class="btn as-command"
        type="button"
        title="as curl, and as a command line"
        aria-label="as a command"
        popovertarget={id}
      >
        &gt;_
      </button>
      <div id={id} popover="auto" class="commands" role="group" aria-label="As a command">
        {actions.map((action) => (
          <CommandLines key={action.path} {...action} />
        ))}
      </div>
    </>
  )
}

export function CommandLines({ path, words }: Action) {
  const curl = `curl${curlKey()} -X POST ${quote(baseUrl.href + path)}`
  const where = baseUrl.href === defaultUrl ? [] : ['--url', baseUrl.href]
  const command = ['forerunner', ...words, ...where].map(quote).join(' ')
  return (
    <div class="command-lines">
      {[
        ['curl', curl],
        ['command', command],
      ].map(([name, text = '']) => (
        <div key={name} class="curl">
          <pre tabIndex={0}>{text}</pre>
          <CopyButton text={text} label={`copy ${name}`} />
        </div>
      ))}
    </div>
  )
}

/** Quoted as one word for a shell. */
function quote(text: string): string {
  return /^[\w:.@/-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}

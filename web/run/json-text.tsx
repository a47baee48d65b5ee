/** Shows a value as indented JSON, in colours. All data is text: it never becomes markup. */
import { save } from '../shell/bounded-read.ts'
import { CopyButton } from '../shell/copy-button.tsx'

/** A longer text is cut here, and complete in the download. */
const shownLength = 100_000
/** A longer text has no colours, because many spans are slow. */
const colouredLength = 20_000

const tokens =
  /(?<key>"[^"\\]*(?:\\.[^"\\]*)*")(?=\s*:)|(?<text>"[^"\\]*(?:\\.[^"\\]*)*")|(?<number>-?\d[\d.eE+-]*|true|false|null)/g

/** @param text with its line breaks */
export function JsonText({ text, name }: { readonly text: string; readonly name: string }) {
  const isCut = text.length > shownLength
  return (
    <>
      <pre tabIndex={0}>{text.length > colouredLength ? text.slice(0, shownLength) : coloured(text)}</pre>
      <div class="foot">
        {isCut && <span class="dim">The first 100 kB are shown.</span>}
        <CopyButton text={text} />
        <button
          class="btn small"
          type="button"
          onClick={() => save(new Blob([text], { type: 'application/json' }), `${name}.json`)}
        >
          download
        </button>
      </div>
    </>
  )
}

function coloured(text: string) {
  const parts = []
  let from = 0
  for (const match of text.matchAll(tokens)) {
    const { key, text: string } = match.groups ?? {}
    const kind = key !== undefined ? 'k' : string !== undefined ? 's' : 'n'
    parts.push(
      text.slice(from, match.index),
      <span key={match.index} class={kind}>
        {match[0]}
      </span>,
    )
    from = match.index + match[0].length
  }
  return [...parts, text.slice(from)]
}

/** Shows an SVG result as an image. A document in an image runs no scripts and loads nothing. */
export function svgAddress(value: unknown): string | null {
  const svg: unknown = Reflect.get(Object(value), 'svg')
  if (typeof svg !== 'string' || !svg.trimStart().startsWith('<svg')) return null
  return `data:image/svg+xml,${encodeURIComponent(svg)}`
}

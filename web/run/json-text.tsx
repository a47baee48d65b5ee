/** A value as indented JSON, in colours. Whatever it holds is text: nothing from data ever becomes markup. */
import { save } from '../shell/bounded-read.ts'
import { CopyButton } from '../shell/copy-button.tsx'

/** Beyond that it is cut here, and whole in the download. */
const shownLength = 100_000
/** Coloured one by one only up to that: a span for each of many tokens is slow. */
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

/** A result that is an SVG document, as an image: a document in an image runs no script and loads nothing. */
export function svgAddress(value: unknown): string | null {
  const svg: unknown = Reflect.get(Object(value), 'svg')
  if (typeof svg !== 'string' || !svg.trimStart().startsWith('<svg')) return null
  return `data:image/svg+xml,${encodeURIComponent(svg)}`
}

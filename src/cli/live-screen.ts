/** Lines that are painted over each other on a terminal, at each change and as time goes by. */
import { endWithSignals, onResize, print, write } from './terminal.ts'

export interface LiveScreen {
  /** Paints now. */
  paint(): void
  /** Paints for the last time, and gives the cursor back. */
  end(): void
}

const everyMs = 120
const [hideCursor, showCursor] = ['\u001B[?25l', '\u001B[?25h']
/** Of a screen that has another size now, nothing is where it was. */
const clearScreen = '\u001B[2J\u001B[H'

/**
 * @param linesOf what to paint; no line is wider than the terminal, and all of them fit
 * @param farewell said when somebody leaves by Ctrl-C
 */
export function createLiveScreen(linesOf: () => readonly string[], farewell: string): LiveScreen {
  let height = 0
  let isResized = false

  function paint(): void {
    const lines = linesOf()
    const back = isResized ? clearScreen : height > 0 ? `\u001B[${height}A` : ''
    isResized = false
    // Each line clears what is left of the one before it: erasing all of it first would flicker.
    write(`${back}${lines.map((line) => `${line}\u001B[K\n`).join('')}\u001B[J`)
    height = lines.length
  }

  write(hideCursor)
  const restore = (): void => write(showCursor)
  process.once('exit', restore)
  endWithSignals(() => print(farewell))
  const forget = onResize(() => (isResized = true))
  const timer = setInterval(paint, everyMs)

  return {
    paint,
    end() {
      clearInterval(timer)
      forget()
      paint()
      process.off('exit', restore)
      restore()
    },
  }
}

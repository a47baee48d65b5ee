/** The list of shortcuts, opened by `?` or its button. */
import { useEffect, useRef } from 'preact/hooks'
import { useKeys } from './keys.ts'

type Shortcut = readonly [keys: readonly string[], does: string]

const sections: readonly (readonly [where: string, shortcuts: readonly Shortcut[]])[] = [
  [
    'Everywhere',
    [
      [['g'], 'the runs'],
      [['o'], 'the overview'],
      [['s'], 'the schedules'],
      [['n'], 'start a run'],
      [['?'], 'this sheet'],
      [['Esc'], 'close it'],
    ],
  ],
  [
    'The list',
    [
      [['/'], 'search'],
      [['j', 'k'], 'the next run, the one before'],
      [['Enter'], 'open it'],
      [['p'], 'pause, and go on'],
    ],
  ],
  [
    'A run',
    [
      [['j', 'k'], 'the next job, the one before'],
      [['+', '-', '0'], 'closer, wider, all'],
      [['h', 'l'], 'earlier, later'],
      [['t'], 'as a table'],
    ],
  ],
]

export function Shortcuts() {
  const sheet = useRef<HTMLDialogElement>(null)
  const open = (): void => {
    if (sheet.current?.open === false) sheet.current.showModal()
  }
  useKeys({ '?': open })
  useEffect(() => {
    // A click outside of the dialog.
    const onClick = (event: MouseEvent): void => {
      if (event.target === sheet.current) sheet.current?.close()
    }
    addEventListener('click', onClick)
    return () => removeEventListener('click', onClick)
  }, [])
  return (
    <>
      <button class="help" type="button" aria-keyshortcuts="?" aria-label="Shortcuts" title="Shortcuts" onClick={open}>
        ?
      </button>
      <dialog ref={sheet} class="sheet" aria-label="Shortcuts">
        <div class="head">
          <h2>Shortcuts</h2>
          <button class="btn small" type="button" onClick={() => sheet.current?.close()}>
            close
          </button>
        </div>
        <div class="sections">
          {sections.map(([where, shortcuts]) => (
            <section key={where}>
              <h3>{where}</h3>
              <dl>
                {shortcuts.map(([keys, does]) => (
                  <div key={does}>
                    <dt>
                      {keys.map((key) => (
                        <kbd key={key}>{key}</kbd>
                      ))}
                    </dt>
                    <dd>{does}</dd>
                  </div>
                ))}
              </dl>
            </section>
          ))}
        </div>
      </dialog>
    </>
  )
}

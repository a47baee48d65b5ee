/** The live page: shows runs as they go on, starts them, and changes them, by the documented API alone. */
import { render } from 'preact'
import { App } from './shell/app.tsx'

const place = document.querySelector('#page')
if (place !== null) {
  place.replaceChildren()
  render(<App />, place)
}

/** The live page: shows runs as they progress, starts them, and changes them, only through the documented API. */
import { render } from 'preact'
import { App } from './shell/app.tsx'

const place = document.querySelector('#page')
if (place !== null) {
  place.replaceChildren()
  render(<App />, place)
}

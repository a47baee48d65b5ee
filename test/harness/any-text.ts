import * as fc from 'fast-check'

const codePoint = fc.oneof(fc.nat(0x7f), fc.nat(0xffff), fc.nat(0x10ffff))

/** Text of any code points, lone surrogates among them. The unit `binary` of fast-check takes a second to be made. */
export function anyText(length: fc.ArrayConstraints = {}): fc.Arbitrary<string> {
  return fc.array(codePoint, length).map((points) => String.fromCodePoint(...points))
}

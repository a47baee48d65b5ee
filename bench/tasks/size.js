/** Takes a large input, and returns its size. */
export default { kind: 'cpu', run: (input) => Object.keys(input).length }

/** Takes a large input, and gives back how much of it there is. */
export default { kind: 'cpu', run: (input) => Object.keys(input).length }

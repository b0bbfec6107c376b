// TOON's JavaScript reference as a service: a JSON request a line, a JSON answer a line.
//   {"decode": "text"}                     -> {"value": ...} or {"error": "..."}
//   {"rewrite": "text"}                    -> what decoding and encoding again gives
//   {"encode": value, "delimiter": ","}    -> {"value": "text"} or {"error": "..."}
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const toon = await import(pathToFileURL(process.argv[2]))

function answer(request) {
  try {
    if ('decode' in request) return { value: toon.decode(request.decode, { strict: true }) }
    if ('rewrite' in request) return { value: toon.encode(toon.decode(request.rewrite)) }
    return { value: toon.encode(request.encode, { delimiter: request.delimiter }) }
  } catch (error) {
    return { error: String(error) }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + '\n')
}

// Extracts the fenced blocks of a Markdown file.

/** `why` is the reason in a preceding comment `<!-- not run: … -->`, or undefined. */
export function blocksOf(markdown) {
  const blocks = [];
  const lines = markdown.split('\n');
  for (let at = 0; at < lines.length; at += 1) {
    const fence = /^```(\w*)$/.exec(lines[at]);
    if (!fence) continue;
    const end = lines.indexOf('```', at + 1);
    const why = /^<!-- not run: (.*) -->$/.exec(lines[at - 1] ?? '')?.[1];
    blocks.push({ language: fence[1], text: `${lines.slice(at + 1, end).join('\n')}\n`, line: at + 1, why });
    at = end;
  }
  return blocks;
}

#!/usr/bin/env python3
"""Finds sentences in a code base that are hard to understand at the first reading.

It reads the prose of a repository: paragraphs, list items and table cells of Markdown (not code,
headings or HTML), comments of Rust, JavaScript, Python, shell scripts and configuration files, and
the texts that users see: `#[error("...")]`, strings in error files and under api/, and strings of
the console and the command line tools (www/, packages/, scripts/). Each sentence is checked against
the rules below. A rule matches a form of words that is common in hard texts and rare in
well-written ones: all rules together flag less than 3 % of the sentences of rust-analyzer, tantivy
and InfluxDB 3. A flagged sentence is a candidate for rewriting, not an error: CONTRIBUTING.md
describes the style.

    prose.py                          every finding under the current folder, one a line
    prose.py docs crates/engine/src/shard           the same for some folders or files
    prose.py --rule free-relative     one rule only (repeatable)
    prose.py --list 20                at most 20 findings of each rule
    prose.py --summary                how many sentences are flagged, by kind, folder and rule
    prose.py --json                   findings and summary as one JSON object
    prose.py --rules                  the rules, why each exists, and what to write instead
    prose.py --pages                  Markdown files only
    prose.py --max docs=4 comments=4  exits with status 1 above 4 % flagged sentences of a kind

A finding is `path:line: rule: sentence`. Files come from `git ls-files`, or from the folder itself
outside of a repository. GENERATED pages are skipped. The exit status is 0 without --max.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
from typing import Iterator, NamedTuple


class Sentence(NamedTuple):
    path: str
    line: int
    kind: str  # docs, comments or messages
    form: str  # text, item, cell, trailing or message
    first: bool  # whether it is the first sentence of its paragraph or comment
    text: str


class Rule(NamedTuple):
    name: str
    why: str
    instead: str
    pattern: re.Pattern
    only: str = ""  # "first": first sentences only; "prose": neither table cells nor messages


def rule(name: str, why: str, instead: str, *forms: str, only: str = "") -> Rule:
    return Rule(name, why, instead, re.compile("|".join(forms), re.IGNORECASE), only)


WHAT = r"(?:what|whatever|whoever|whomever|whichever)"
PREPOSITION = r"(?:of|by|to|on|per|for|with|in|from|beside|behind|over|until|since|under|at|after|before)"
AUXILIARY = r"(?:is|are|was|were|has|have|had|does|did|do|be)"
VERB = r"(?:is|are|was|were|have|has|do|does|may|must|can|cannot|share|remain|move)"

RULES = [
    rule(
        "free-relative-start",
        "a clause such as 'What a column comes to' stands where the reader expects a noun",
        "name the thing: 'The result of a column', 'Callers with read access'",
        rf"^(?:(?:and|but|so|{PREPOSITION}) )?(?:{WHAT}|whom|whose|who)\b(?! (?:about|if)\b)[^?]*$",
    ),
    rule(
        "free-relative",
        "'with what it holds' makes the reader guess which thing is meant",
        "use a noun: 'with its rows'; after a verb, say which property is kept, named or read",
        rf"[:;,(] (?:and |or )?(?:{WHAT}|who|whom|of which|of what)\b(?! (?:about|if)\b)",
        rf"\b(?:{PREPOSITION}|than|is|are|was|were|and|or|but|all|not|into) (?:what|whatever|whoever)\b(?! (?:about|if|to|happens)\b)",
        r"\b(?:says?|names?|counts?|keeps?|has|have|holds?|reads?|takes?|tells?|knows?|asks?|prints?|gets?|does|"
        r"drops?|writes?|sends?|gives?|finds?|lists?|leaves?|needs?|covers?) (?:what|whatever|whoever|whom)\b",
    ),
    rule(
        "question-fragment",
        "'Of which policies.' or 'How far it is.' has a question word and no main clause",
        "write a noun phrase or a sentence: 'The policies to list.', 'Progress, in rows.'",
        rf"^(?:(?:{PREPOSITION}|up to) )?(?:which|whom|whose|how (?:many|much|far|long|often|soon|large|old))\b[^?,]*$",
        rf"^(?:from )?(?:when|where|why|who|how)\b(?! to\b)[^?,]{{0,60}}$",
        rf"\b(?:which|what|whom|whose)(?=\s*(?:[.;)]|$))",
        only="prose",
    ),
    rule(
        "how-many",
        "'how much there is' hides a quantity that has a name",
        "name it: 'the number of rows', 'the size', 'the age'",
        r"\bhow (?:much|many|far|often|large|wide|full|soon|old)\b(?! (?:times|to|should)\b)[^?]*$",
    ),
    rule(
        "bare-fragment",
        "a sentence without a subject and a verb: 'Of queries.', 'The same.', 'As many as its rows.'",
        "write the noun it belongs to, or join it to the sentence before",
        rf"^(?:of|by|per|instead of|beside|behind|until|since|over|through|on)\b[^,;:]{{1,70}}\.?$",
        r"^(?:the same|as (?:many|much|far|few|little)|so (?:many|much|few|little)|likewise|none|others?|"
        r"those|one (?:of|that|more)|all of (?:them|it)|the others?|the rest|nothing)\b[^;:]{0,50}$",
        r"^as \[?`[^`]*`\]?[^ ]*$",
        only="prose",
    ),
    rule(
        "bare-plural",
        "'Rows of a page.' does not say whether it is a limit, a count or a list",
        "start with that noun: 'The maximum number of rows in a page.'",
        r"^(?:rows|bytes|values|pages|series|points|parts|shards|columns|names|times|blocks|databases|measurements|"
        r"tokens|users|frames|groups|fields|tags|requests|answers|nanoseconds|seconds|queries|tests|calls) "
        rf"(?:(?:of|in|per|for)\b(?!.*\b{VERB}\b)|that\b(?!.*\b{VERB}\b.*\b{VERB}\b))(?<!tests that)",
        r", (?:bytes|nanoseconds|seconds|milliseconds|ascending|descending|inclusive|exclusive)\.?$",
        only="prose",
    ),
    rule(
        "of-chain",
        "two genitives in a row, or 'of its own', read as a translation",
        "use a possessive, a compound or another preposition: 'the database's token', 'a separate Worker'",
        r"\bof (?:its|their|your|his|one's) own\b",
        r"\b(?:\w+s|page|row|piece|order|token|part|list|place|worker|statement) of (?:a |an |one |each |every |its |their |the )?[\w']+ (?:of|that is of) (?:a |an |one |each |every |its |their |the )?[\w']+",
        r"\b(?:an?|the|one) (?:worker|statement|answer|file|message|client|table|editor|scan|session) of (?:sql|arrow|parquet|flight|influxql)\b",
    ),
    rule(
        "of-verb",
        "'what it keeps of it', 'is of one moment': 'of' after a verb where English uses a noun or 'from'",
        "say which part: 'the rows it keeps', 'comes from one snapshot'",
        r"\b(?:reads?|keeps?|kept|asked|asks?|said|says|shows?|holds?|held|has|have|had|done|told|found|written|stored|left|"
        r"needed|lost|sees|seen|listed|counted|takes?|taken|known|knows|wants?|sent|comes?|are|was|were) of\b(?! course)",
        r"\bis of (?:a|an|the|one|its|their|this|that|no|another|other)\b",
        r"[,;:] (?:and |or |not |but |also )?of (?:a|an|the|it|them|those|each|every|all|others|one|its|which|whom)\b",
    ),
    rule(
        "of-pronoun",
        "'of it', 'of one', 'of those' points back at a noun that the reader must find",
        "repeat the noun, or use 'its'",
        r"\b(?:of|behind|beside) (?:it|one|those|none|each)(?=\s*(?:[.;:]|$))",
        r"(?<!all )(?<!some )(?<!each )(?<!none )(?<!most )(?<!many )(?<!one )\b(?:of|behind|beside) them(?=\s*(?:[.;:]|$))",
        r"\bof (?:those|nobody|others|everything|theirs) (?!of\b|or\b|more\b|specific\b|the\b|such\b|these\b|my\b|our\b|type\b|kind\b)",
        r"\bof (?:one|another) (?:that|which|who|whose|with|from|in)\b",
        r"\b(?:all|nothing|most|much|more|little|what|either|two) of it\b",
    ),
    rule(
        "loose-pronoun",
        "'the one before', 'those of', 'another one': a pronoun does the work of a noun",
        "write the noun again",
        r"\b(?:those|the ones?|that) (?:of|with|at|by|behind|before|after|beside) (?:a|an|the|it|them|its|each|every|all|others|one|other)\b",
        r"\b(?:the one (?:before|after|behind|beside)|no other one|another one|older ones?|newer ones?|earlier ones?|later ones?|large ones?|small ones?|"
        r"the former|the latter one|that one\b(?=[.,;:)])|the next one\b(?=[.,;:)])|one that (?:is|was|has|had|cannot|does))",
        r"^(?:its|their|them|those|theirs)\b(?=.*\b)",
        r"[:;] (?:those|theirs)\b",
    ),
    rule(
        "first-pronoun",
        "a comment begins with a pronoun: nothing stands before it that it could mean",
        "begin with the name of the item or with a verb: 'The shard has…', 'Returns…'",
        r"^(?:it|they|he|she) (?!is (?:possible|important|necessary|not possible|ok|okay|worth|assumed|safe|up to|easier|unclear|likely|used|the responsib))",
        only="first",
    ),
    rule(
        "nobody",
        "'nobody', 'whoever', 'who asks' turn code and data into persons",
        "name the role or the component: the caller, an administrator, the edge, no client",
        r"\b(?:whoever|whomever|whom|nobody|somebody|anybody)(?:'s)?\b",
        r"\bwho (?:asks?|reads?|writes?|hears?|calls?|counts?|knows?|finds?|comes?|has|had|may|gets|sends|waits)\b",
        r"\b(?:hears?|heard) (?:of|that|it|from|about)\b|\b(?:is|are|was|were|be) told\b|\b(?:have|has|had|is|are|was) met\b|\bmet (?:here|there|before|it|them)\b",
    ),
    rule(
        "nothing-subject",
        "'Nothing is read yet', 'None is kept': a negation hides the thing that it denies",
        "negate the verb: 'The constructor reads no rows', 'The table stays empty'",
        r"(?:^|[;:,] (?:and |so |but |then )?)(?:nothing|none) (?:is|are|was|were|has|of|that|in|else|at|must|may|can|stands?|reads?|waits?|comes?)\b",
        r"\bthere (?:is|are) none\b|\b(?:or|if|; ) ?none\b(?=[.;:,)]|$| if| where| when)|\bno longer of\b",
    ),
    rule(
        "archaic",
        "the word or phrase is old-fashioned, poetic or a translation",
        "use the plain word: beside → next to, with; anew → again; for ever → permanently; at rest → stored; "
        "by turns → alternately; but for → except; so many → that many; at hand → current; under way → running",
        r"\b(?:anew|by turns|for ever|for good|but for|save for|as yet|at hand|under way|nought|lest|thereof|whence|thence|"
        r"meanwhile|in between|brought to rest|at rest|once more|ever so|rather shut|rather than to|"
        r"beside|one after the other|in turn, |wherever|thereby|of late|overdue|in any case|as such it|at the most|alike)\b(?! (?:to|the point)\b.{0,3}$)",
        r"\ball but (?!certain|guarantee)|\bso (?:many|much|few|little|long) (?!as\b|that\b|more\b|better\b|for\b|easier|code)|\bas many again\b|\bat once\b(?=[.;:,)]|$| (?:and|by|when|where|if|everywhere))",
    ),
    rule(
        "odd-verb",
        "'comes to', 'goes on', 'stands', 'lies', 'befalls': a verb of motion or posture for a state",
        "use the technical verb: equals, continues, is stored, is listed, contains, precedes",
        r"\b(?:comes?|came|coming) (?:to (?:a|an|the|its|their|be|so|rest|more|less|nothing|life|it|them|\d)|to\b(?=[.,;:)]|$)|of (?:it|a|the)\b|along|anew|true\b)",
        r"\b(?:goes|go|went|going|gone) (?:on\b(?=[.,;:)]|$| (?:from|by|with|as|until|where|behind|at|in|to|and))|before\b|beside|by (?:the|its|a)|without\b|with (?:the|it|a))",
        r"\b(?:stands?|stood|standing) (?:in|there|for (?:all|ever)|at|by|as|before|behind|beside|still|alone|on|under|among|is|to|where|between|with|after)\b",
        r"\b(?:what|that|it|rows|which|values|they|text|there) (?:stands?|lies?|lay)\b|\b(?:lies?|lay|lain) (?:in|at|there|beside|behind|within|still|on|under|outside|across|where|before|between)\b",
        r"\b(?:befalls?|gives? way|gave way|holds? good|brings? along|gets? past|has to wait|springs? to|is through|takes? in\b|take in\b|mends?|told of|is over\b(?=[.,;:]|$))",
    ),
    rule(
        "bare-modal",
        "'may everything', 'what it can': a modal verb without its main verb",
        "add the verb: 'may perform every operation', 'supported statements'",
        r"\b(?:may|can|must|should|might|cannot)(?=\s*(?:[;:)\]]|\.?$))(?<!be may)",
        r"\b(?:may|must) (?:everything|nothing|that|this|so|it|all|anything|to|not\b(?! [a-z]))",
        r"\b(?:may|can|must),? (?:and|or) (?:may|can|must) (?!be\b)(?:not)?\b",
    ),
    rule(
        "answered",
        "'is answered 503', 'answers as', 'says its position', 'asks a shard': HTTP and code do not talk",
        "use the HTTP or code word: returns 503, responds with, reports, requests, queries",
        r"\b(?:is|are|was|were|be|been|being|and|or|not|still|it|even|of|as|never) answered\b(?! (?:this|the|your))",
        r"\b(?:is|are|was|were|be|it is|then) (?:a )?[2345]\d\d\b(?! (?:bytes|rows|ms|points|lines|times|characters|chars))",
        r"\banswers? (?:\d{3}|for|as|with|from|at|to|is|that|in|of|has|may|says|a|an|the|it|them|`|by|come|goes)\b",
        r"\banswers\b(?! (?:the|this|your|all|questions|our)\b)|\b(?:the|an|its|each|every|one|no|whole|long|that|this|same) answer(?:'s)?\b(?! (?:is that|to this|to that|the|here|by running))",
        r"\b(?:says?|said) (?:its|so|which|whether|how|where|why|of|nothing|when|the same|for)\b|\bis (?:asked|said)\b(?! to\b)|\bare asked\b(?! to\b)|\basks? (?:the|a|an|it|its|for|no|each|every|one|all|once) ",
    ),
    rule(
        "there-is",
        "'which parts there are', 'what is there': existence in place of a list or a state",
        "name the list or the state: 'the list of parts', 'existing rows'",
        r"\b(?:that|what|which|than|as|all|who|how|wherever|databases|parts|rows|columns|shards|tokens|backups|policies|they|are|series|values|measurements) there (?:is|are|was|were|may be)\b(?! (?:a|an|no|some|any|only|already|not|more|two|at|multiple|one|still|nothing|always)\b)",
        r"\b(?:is|are|was|were|be) (?:not )?there (?:already|yet|and|or|to|before|for|no|in|where|until)\b|\b(?:is|are|was|were) (?:not )?there(?=[.;:,)]|$)",
    ),
    rule(
        "dangling-end",
        "the clause ends in an auxiliary or preposition ('where it has.', 'which it is of'): its point is left out",
        "complete the clause: state the property, or use an adjective",
        rf"\b(?:is|are|was|were|has|have|had|do|did)(?=\s*(?:[.;)]|$))(?<!as-is)(?<!as is)(?<!as it is)(?<!already is)(?<!it was)(?<!they are)",
        r"\b(?:of|by|behind|beside|before it|asks? for|asked for|without|until)(?=\s*(?:[.;]|$))",
        only="prose",
    ),
    rule(
        "where-if",
        "'Where' opens a condition or a case",
        "use 'if' or 'when'",
        r"^where (?!possible|applicable|clause|appropriate|needed|to )[^?]{3,60}, ",
        r"[;:] where\b|, where (?:that|it|they|nothing|none|one|there|so)\b|^(?:and )?where (?:a|an|the|it|that|there|nothing|one|none|no)\b",
    ),
    rule(
        "from-on",
        "'from its first point on', 'from then on', 'a group later': time told as a place",
        "use 'after', 'starting with', 'since', 'following'",
        r"\bfrom [^.;,:]{1,40}? on\b(?=[,.;:)]|$| (?:and|is|are|it|they|that|a|the|at)\b)(?<!based on)(?<!depend on)(?<!depending on)(?<!later on)",
        r"\b(?:what|whatever|rows|all|those|stands?|lies?|is|are|comes?|and|blocks?|bytes|one|group|goes) behind\b(?! (?:the scenes|a feature|a flag))|\bbehind (?:it|them|its|each|a (?:row|page|group|write|flush)|the (?:first|last|others?|header|head|rows|answer|reply|frame))\b",
    ),
    rule(
        "too-tail",
        "', small ones too', 'also of a server': an afterthought that belongs into the sentence",
        "say 'including …', or put 'also' next to the verb",
        r", (?:and |also )?[^,.;:]{3,50} too(?=[.;:)]|$)",
        r"\balso (?:of|those|what|where|to those|with|in an?|by|from|for|on|under)\b(?! (?:the fact|example|instance))(?=.*(?:,|;|:|\bof\b))",
    ),
    rule(
        "clause-pile",
        "three or more clauses hang on semicolons and colons",
        "write separate sentences, or a list",
        r"[;:] [^;:]+[;:] [^;:]+[;:] ",
        r"; [^;]+; [^;]+ [^;]+ ",
        only="prose",
    ),
    rule(
        "each-postponed",
        "', each', 'each of which', ', none of them' at the end of a list",
        "begin with 'each': 'Each of the …'",
        r", each (?:of|with|in|by|a|an|its|one|once|from|as|under|on|at|for|on)\b|, each(?=[.;:)]|$)|, (?:of|none of|all of|some of|two of|one of) (?:which|whom|them)\b",
    ),
    rule(
        "is-to",
        "'is to be repeated', 'one is to', 'rather than to be': an old way of 'must'",
        "use 'must', 'should' or the imperative",
        r"\b(?:is|are|was|were) to be (?!used|able|done)(?:repeated|\w+ed (?:with|until|by|again))\b|\bto be \w+ed with\b",
    ),
]

# Files and their sentences.

KINDS = ("docs", "comments", "messages")
LANGUAGES = {".md": "markdown", ".rs": "rust", ".js": "js", ".mjs": "js", ".ts": "js",
             **dict.fromkeys([".py", ".sh", ".toml", ".yml", ".yaml", ".conf"], "hash")}
# Markdown files that a program writes.
GENERATED = {os.path.join("benches", "RESULTS.md")}
# How the first line of a generated page begins.
GENERATED_MARK = "<!-- GENERATED"
SKIPPED_FOLDERS = {"target", "node_modules", "dist", "vendor", ".git"}
TOKENS = {
    "rust": re.compile(r"//[^\n]*|/\*.*?\*/|b?r(#*)\".*?\"\1|b?\"(?:\\.|[^\"\\])*\"|'(?:\\.[^'\n]*|[^\\'\n])'", re.DOTALL),
    "js": re.compile(r"//[^\n]*|/\*.*?\*/|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"|`(?:\\.|[^`\\])*`", re.DOTALL),
    "hash": re.compile(r"(?<!\S)#[^\n]*|\"\"\".*?\"\"\"|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"", re.DOTALL),
}
COMMENT = re.compile(r"//[/!]?|#(?![!\[])(?= )")

LIST_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+")
SENTENCE_END = re.compile(r"""[.!?](?=["')\]*_]*\s+["'(\[*_]*[A-Z0-9`])""")
ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|resp|approx|no)\.$", re.IGNORECASE)


def files_under(root: str) -> list[str]:
    if os.path.isfile(root):
        return [root]
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, check=False).stdout
    names = listed.decode().rstrip("\0").split("\0") if listed else [
        os.path.relpath(os.path.join(folder, name), root) for folder, _, files in os.walk(root) for name in files
    ]
    wanted = [n for n in names if os.path.splitext(n)[1] in LANGUAGES and not SKIPPED_FOLDERS & set(n.split("/"))]
    paths = [os.path.normpath(os.path.join(root, name)) for name in sorted(wanted)]
    return [path for path in paths if path not in GENERATED and not is_generated(path)]


def is_generated(path: str) -> bool:
    if not path.endswith(".md"):
        return False
    with open(path, encoding="utf-8") as page:
        return page.readline().startswith(GENERATED_MARK)


def paragraphs(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str, str]]:
    """Yields the line, form and text of each paragraph, list item and table cell of Markdown."""
    block: list[str] = []
    at, form, fence, in_comment = 0, "text", "", False
    for number, line in [*lines, (0, "")]:
        text = line.strip()
        if fence or in_comment:
            fence = "" if fence and text.startswith(fence) else fence
            in_comment = in_comment and "-->" not in text
            continue
        opening = re.match(r"`{3,}|~{3,}", text)
        item = LIST_ITEM.match(line)
        ends = not text or text[0] in "#<|" or opening or item or re.match(r"\[[^\]]+\]:|[-=*_]{3,}$", text)
        if ends and block:
            yield at, form, " ".join(block)
            block = []
        if opening:
            fence = opening[0]
        elif text.startswith("<!--"):
            in_comment = "-->" not in text
        elif text.startswith("|"):
            for cell in re.split(r"(?<!\\)\|", text.strip("|")):
                yield number, "cell", cell.strip()
        elif item or not ends:
            if not block:
                at, form = number, "item" if item else "text"
            block.append(line[item.end():].strip() if item else text.lstrip("> "))


def comments_and_strings(source: str, language: str) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Yields the kind and the lines of each comment (kind "comment" or "trailing") and of each
    string literal (kind "string" or "error")."""
    block: list[tuple[int, str]] = []
    mark, line, scanned = "", 1, 0
    for token in TOKENS[language].finditer(source):
        line += source.count("\n", scanned, token.start())
        scanned, text = token.start(), token[0]
        before = source[source.rfind("\n", 0, token.start()) + 1 : token.start()]
        comment = COMMENT.match(text)
        if comment and not before.strip():
            this_mark = comment[0]
            if block and (block[-1][0] != line - 1 or mark != this_mark):
                yield "comment", block
                block = []
            mark = this_mark
            block.append((line, text[len(mark) :].removeprefix(" ")))
            continue
        if block:
            yield "comment", block
            block = []
        if comment:
            yield "trailing", [(line, text[comment.end() :].strip())]
        elif text.startswith("/*") or (text.startswith('"""') and not before.strip()):
            body = (text[2:-2] if text[0] == "/" else text[3:-3]).lstrip("*!").split("\n")
            yield "comment", [(line + i, re.sub(r"^\s*\*+ ?", "", row).rstrip()) for i, row in enumerate(body)]
        elif text[0] not in "b#":
            body = re.sub(r"\\\n\s*", "", text.strip("r#")[1:-1])
            is_error = re.search(r"#\[error\(\s*$", source[max(0, token.start() - 40) : token.start()])
            yield "error" if is_error else "string", [(line, body.replace('\\"', '"').replace("\\n", " "))]
    if block:
        yield "comment", block


def is_message(text: str) -> bool:
    words = re.findall(r"(?<![\w/=&.\\-])[a-z]{2,}(?![\w/=&-])", text)
    return len(words) >= 4 and sum(map(len, words)) > len(text) / 3 and not re.search(r"=>|[=;]\s*$|</|^\s*[a-z]+=|=\"", text)


def split(text: str) -> Iterator[str]:
    masked = re.sub(r"`[^`]*`", lambda code: "`" + "x" * (len(code[0]) - 2) + "`", text)
    start = 0
    for end in SENTENCE_END.finditer(masked):
        if not ABBREVIATION.search(masked[start : end.end()]):
            yield text[start : end.end()].strip()
            start = end.end()
    yield text[start:].strip()


def sentences_of(path: str) -> Iterator[Sentence]:
    with open(path, encoding="utf-8", errors="replace") as file:
        source = file.read()
    language = LANGUAGES[os.path.splitext(path)[1]]
    if language == "markdown":
        found = [("docs", place) for place in paragraphs(list(enumerate(source.split("\n"), 1)))]
    else:
        parts = set(path.split(os.sep))
        shown = {"api"} if language == "rust" else {"www", "packages", "scripts"}
        has_messages = language != "hash" and not {"tests", "test", "benches"} & parts and (shown & parts or "error" in os.path.basename(path))
        tests_at = source.count("\n", 0, source.find("#[cfg(test)]")) + 1 if "#[cfg(test)]" in source else 1 << 30
        found = []
        for kind, lines in comments_and_strings(source, language):
            if kind in ("comment", "trailing"):
                tag = re.compile(r"^@\w+ *(?:\{.*?\})? *(?:\[?[\w.$]+\]?(?:$| ))?")
                lines = [(n, tag.sub("- ", text) if language == "js" else text) for n, text in lines]
                found += [("comments", (n, kind if kind == "trailing" else form, text)) for n, form, text in paragraphs(lines)]
            elif kind == "error" or (has_messages and lines[0][0] < tests_at):
                if kind == "error" or is_message(lines[0][1]):
                    found.append(("messages", (lines[0][0], "message", lines[0][1])))
    for kind, (line, form, text) in found:
        for position, sentence in enumerate(split(text)):
            if len(re.findall(r"[A-Za-z]{2,}", sentence)) >= (1 if form == "text" and kind == "comments" else 3):
                yield Sentence(path, line, kind, form, position == 0, sentence)


def plain(text: str) -> str:
    """Returns the sentence with each piece of code as one word, with the texts of links, and without emphasis."""
    text = re.sub(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])?", r"\1", text)
    return re.sub(r"\*\*?|(?<!\w)_|_(?!\w)", "", re.sub(r"`[^`]*`|\{[^}]*\}", "Code", text)).strip()


def broken_rules(sentence: Sentence, rules: list[Rule]) -> Iterator[str]:
    text = plain(sentence.text)
    for each in rules:
        if each.only == "first" and not (sentence.first and sentence.kind == "comments" and sentence.form == "text"):
            continue
        if each.only == "prose" and sentence.form in ("cell", "message"):
            continue
        if each.pattern.search(text):
            yield each.name


def table(title: str, rows: collections.Counter, of: collections.Counter) -> None:
    print(f"\n{title:24}{'sentences':>10}{'flagged':>9}{'share':>8}")
    for name, count in of.most_common():
        print(f"{name:24}{count:10}{rows[name]:9}{100 * rows[name] / count:7.1f}%")


def limit(text: str) -> tuple[str, float]:
    kind, _, percent = text.partition("=")
    if kind not in KINDS:
        raise argparse.ArgumentTypeError(f'"{kind}" is not one of {", ".join(KINDS)}')
    return kind, float(percent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", default=["."], metavar="PATH")
    parser.add_argument("--rule", action="append", metavar="NAME", choices=[r.name for r in RULES])
    parser.add_argument("--list", type=int, metavar="N", help="at most N findings of each rule")
    parser.add_argument("--summary", action="store_true", help="only the summary")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rules", action="store_true", help="explain the rules")
    parser.add_argument("--pages", action="store_true", help="Markdown files only")
    parser.add_argument("--max", type=limit, nargs="+", default=[], metavar="KIND=PERCENT",
                        help="fail if more sentences of a kind (docs, comments, messages) are flagged")
    options = parser.parse_args()
    if options.rules:
        sys.exit("\n".join(f"{r.name}: {r.why}\n    instead: {r.instead}" for r in RULES))
    rules = [r for r in RULES if not options.rule or r.name in options.rule]
    findings, by_rule = [], collections.Counter()
    read, flagged = {"kind": collections.Counter(), "folder": collections.Counter()}, {}
    flagged = {"kind": collections.Counter(), "folder": collections.Counter()}
    for root in options.paths:
        for path in files_under(root):
            if options.pages and not path.endswith(".md"):
                continue
            local = os.path.relpath(path, root) if os.path.isdir(root) else path
            folder = local.split(os.sep)[0] if os.sep in local else "(top)"
            for sentence in sentences_of(path):
                names = list(broken_rules(sentence, rules))
                for key, value in (("kind", sentence.kind), ("folder", folder)):
                    read[key][value] += 1
                    flagged[key][value] += bool(names)
                for name in names:
                    by_rule[name] += 1
                    if not options.list or by_rule[name] <= options.list:
                        findings.append({"path": sentence.path, "line": sentence.line, "kind": sentence.kind, "rule": name, "sentence": sentence.text})
    total, bad = sum(read["kind"].values()), sum(flagged["kind"].values())
    if options.json:
        json.dump({"read": total, "flagged": bad, "by_kind": {k: [flagged["kind"][k], n] for k, n in read["kind"].items()},
                   "by_rule": by_rule, "findings": findings}, sys.stdout, indent=1, ensure_ascii=False)
        return
    if not options.summary:
        for f in findings:
            print(f"{f['path']}:{f['line']}: {f['rule']}: {f['sentence']}")
    print(f"\n{total} sentences, {bad} flagged ({100 * bad / max(total, 1):.1f}%)")
    table("kind", flagged["kind"], read["kind"])
    table("folder", flagged["folder"], read["folder"])
    print("\nrule" + " " * 20 + "  findings")
    for name, count in by_rule.most_common():
        print(f"{name:24}{count:10}")
    for kind, percent in options.max:
        if 100 * flagged["kind"][kind] > percent * read["kind"][kind]:
            sys.exit(f"{kind}: more than {percent:g} % of the sentences are flagged")


if __name__ == "__main__":
    main()

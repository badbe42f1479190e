/*
 * Templates that are to do harm. Each is at most what the protocol takes.
 */

const doubled = (body: string) =>
  `{% assign l = 'x' | split: '' %}{% for i in (1..60) %}{% assign e = '' | split: '' %}{% assign l = e | push: l | push: l %}{% endfor %}${body}`;
const text = (part: string, times: number) =>
  `{% capture a %}{% for i in (1..${times}) %}${part}{% endfor %}{% endcapture %}`;

/** Those that are to make much out of little: what they make has a bound. */
export const CHEAP_BOMBS: Record<string, string> = {
  "shell_quote on its own result": `{% assign a = "'''''''''" %}{% for i in (1..60) %}{% assign a = a | shell_quote %}{% endfor %}`,
  "shell_quote on a large text": `${text("'".repeat(1_000), 250)}{{ a | shell_quote | shell_quote }}`,
  "text doubled by append":
    "{% assign a = 'x' %}{% for i in (1..60) %}{% assign a = a | append: a %}{% endfor %}",
  "text doubled by capture":
    "{% capture a %}xx{% endcapture %}{% for i in (1..60) %}{% capture a %}{{a}}{{a}}{% endcapture %}{% endfor %}",
  "a range of a hundred million": "{% for i in (1..100000000) %}x{% endfor %}",
  "a negative range, to be given memory back":
    "{% for i in (9000000000..1) %}{% endfor %}{{ (1..900000000) }}",
  "a list in itself, joined": doubled("{{ l | join }}"),
  "a list in itself, shown": doubled("{{ l }}"),
  "a list in itself, compared": doubled("{% if 'x' contains l %}x{% endif %}"),
  "a list in itself, as JSON": doubled("{{ l | json: 10 }}"),
  "a long list in groups": "{% assign l = (1..290000) | group_by_exp: 'x', 'x' %}",
  "a long list in half as many groups": "{% assign l = (1..145000) | group_by_exp: 'x', 'x' %}",
  "text replaced by text": `${text("a", 50_000)}{{ a | replace: 'a', a }}`,
  "nothing replaced by text": `${text("a", 50_000)}{{ a | replace: '', a }}`,
  "a list joined by text": `${text("a", 50_000)}{{ a | split: '' | join: a }}`,
  "escapes of escapes": `${text("€", 50_000)}{% for i in (1..20) %}{% assign a = a | url_encode %}{% endfor %}`,
  "markup that never closes": `${text("<script", 40_000)}{{ a | strip_html | strip_html }}`,
  "a width without measure": "{{ 'now' | date: '%999999999d' }}",
  "a result without measure": `{% for i in (1..290000) %}${"y".repeat(90_000)}{% endfor %}`,
  "a hundred thousand of {{": "{{".repeat(50_000),
  "a hundred thousand of {%": "{%".repeat(50_000),
  "brackets in brackets": `{{ ${"a[".repeat(49_000)} }}`,
  "parentheses in parentheses": `{% if ${"(".repeat(99_000)} %}`,
  "comments in comments": "{% comment %}".repeat(7_000),
  "conditions in conditions": "{% if a %}".repeat(9_900),
};

/** Those that are to take long. */
export const LONG_BOMBS: Record<string, string> = {
  "loops in loops":
    "{% assign l = (1..1000) %}{% for i in l %}{% for j in l %}{% for k in l %}{% endfor %}{% endfor %}{% endfor %}",
  // Nothing asks for the time within a filter: only the end of its thread ends it.
  "one filter with a lot to do": `{% assign l = (1..140000) | where_exp: 'x', '${"x == 0 or ".repeat(300)}x == 0' %}`,
  "loops nested two thousand deep": `{% assign l = (1..2) %}${"{% for i in l %}".repeat(2_000)}${"{% endfor %}".repeat(2_000)}`,
  "one text sought in another, over and over":
    text("a".repeat(100), 1_000) +
    `{% capture b %}{{ a | slice: 0, 50000 }}b{% endcapture %}` +
    "{% for i in (1..10000) %}{% if a contains b %}{% endif %}{% endfor %}",
};

import { TemplateRenderer } from "../../src/gateways/templates/renderer.ts";
import { createLog } from "../../src/log.ts";

/*
 * Renders one template and says what came of it. That it ends by itself shows that the threads hold nobody up.
 */
const templates = new TemplateRenderer(createLog("silent"));
const text = await templates.render({
  title: "a template",
  source: "{{ word | shell_quote }}",
  variables: { word: "it's" },
  organizationId: "one",
  signal: new AbortController().signal,
});
console.log(text);

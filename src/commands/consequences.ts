import type { Lifecycle } from "../actors/lifecycle.ts";
import type { Committal } from "../actors/transitions.ts";
import { readAndShow } from "./answers.ts";
import { configurationOf } from "./configuration.ts";
import type { Services } from "./services.ts";

/**
 * What follows from an agent's transition, once it is committed and memory has taken it over: who watches is told, who
 * waits is answered, work at the gateway begins, the agent gets its configuration, and what was of an agent that is gone ends.
 */
export function createConsequences(services: Services, lifecycle: Lifecycle): (committal: Committal) => void {
  const {
    actors,
    attachments,
    beats,
    clock,
    completions,
    deliveries,
    endSessions,
    hub,
    log,
    pacer,
    registry,
  } = services;

  const configure = async (index: number, agentId: string) => {
    const token = lifecycle.takeToken(agentId);
    const channel = attachments.channelOf(index);
    if (!channel) return;
    const agent = await readAndShow(services, agentId);
    const hash = configurationOf(agent);
    const error = await channel.configure(agent, hash, token);
    // It was deleted in the meantime, and its index can be another's by now.
    if (registry.idOf(index) !== agentId) return;
    beats.configured(index, { hash, applied: error === null, ...(error === null ? {} : { error }) });
    await actors.send(index, { type: "configured", error, at: clock.now() }, { lasting: true });
  };

  return ({ index, agentId, before, after, effects, events, generation, leaving }) => {
    if (after === null) {
      if (before) hub.gone(agentId, before);
      beats.drop(index);
      attachments.drop(index);
      lifecycle.takeToken(agentId);
      deliveries.channelChanged(agentId);
      endSessions({ agentId });
    } else {
      hub.touched(agentId, after, before && before !== after ? before : undefined);
      pacer.settled(index);
    }
    hub.recorded(events);
    if (leaving) lifecycle.leave(leaving);
    for (const effect of effects)
      switch (effect.type) {
        case "runStep":
          completions.supersede(index, generation);
          lifecycle.begin(index);
          break;
        case "settle":
          completions.end(index, generation, effect.params.error);
          break;
        case "configure":
          configure(index, agentId).catch((error) =>
            log.debug({ err: error }, "an agent was not told its configuration"),
          );
      }
  };
}

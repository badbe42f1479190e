import { requireBoardWrite } from "../auth/access.ts";
import { mintToken, readToken, tokenMatches } from "../auth/tokens.ts";
import type { enrolmentMethods } from "../protocol/enrolments.ts";
import { MusterError } from "../protocol/errors.ts";
import { findAgentByName } from "../store/agents.ts";
import type { BoardRow } from "../store/boards.ts";
import {
  deleteEnrolment,
  type EnrolmentRow,
  insertEnrolment,
  listEnrolments,
  readEnrolment,
  takeEnrolmentUse,
  toEnrolment,
} from "../store/enrolments.ts";
import { indexOf, readAndShow } from "./answers.ts";
import type { Context, Handlers } from "./context.ts";
import { createAgentOn } from "./create-agent.ts";
import { findBoard, findGatewayOf } from "./find.ts";
import { pagesOf } from "./pages.ts";
import { endOfChild } from "./token-life.ts";

export const enrolmentCommands: Handlers<keyof typeof enrolmentMethods> = {
  async "enrolment.create"(context, { board_id, uses, expires_in }) {
    const { organizationId, tokenId } = requireBoardWrite(context.principal);
    const board = await findBoard(context, organizationId, board_id);
    await requireDirect(context, board);
    const { clock, database } = context.services;
    const at = clock.now();
    const { id, token, hash } = mintToken("enrolment");
    const row = await database.begin(async (transaction) => {
      const made: EnrolmentRow = {
        id,
        organization_id: organizationId,
        board_id,
        parent_id: tokenId,
        hash,
        uses_left: uses ?? null,
        created_at: new Date(at),
        expires_at: await endOfChild(transaction, tokenId, { at, expires_in }),
      };
      await insertEnrolment(transaction, made);
      return made;
    });
    return { enrolment: toEnrolment(row), token };
  },

  async "enrolment.list"(context, { board_id, ...page }) {
    const { organizationId } = requireBoardWrite(context.principal);
    const pages = pagesOf(context, { organizationId, list: "enrolment.list" });
    const { rows, total, nextCursor } = await listEnrolments(
      context.database,
      { organizationId, boardId: board_id },
      pages.asked(page),
    );
    return { items: rows.map(toEnrolment), total, next_cursor: pages.next(nextCursor) };
  },

  async "enrolment.delete"(context, { enrolment_id }) {
    const { organizationId } = requireBoardWrite(context.principal);
    await deleteEnrolment(context.database, organizationId, enrolment_id);
    return { ok: true };
  },

  async "agent.enroll"(context, { token, name, heartbeat_config }) {
    const { services, principal } = context;
    const enrolment = await proveEnrolment(context, token);
    const known = await findAgentByName(
      context.database,
      enrolment.organization_id,
      name,
      enrolment.board_id,
    );
    if (known && principal.kind === "agent" && principal.agentId === known.id) {
      const minted = await services.rotateToken(indexOf(services, known.id), services.clock.now());
      return { agent: await readAndShow(services, known.id), token: minted.token };
    }
    const board = await findBoard(context, enrolment.organization_id, enrolment.board_id);
    await requireDirect(context, board);
    const created = await createAgentOn(
      {
        ...context,
        claim: () => async (transaction) => {
          if (!(await takeEnrolmentUse(transaction, enrolment.id))) throw spent();
        },
      },
      { board, bound: undefined },
      { name, heartbeat_config },
    );
    return { agent: await readAndShow(services, created.id), token: created.token ?? "" };
  },
};

/** Who registers itself must not make a gateway run something. */
async function requireDirect(context: Context, board: BoardRow): Promise<void> {
  if ((await findGatewayOf(context, board)).kind === "direct") return;
  throw new MusterError(
    "unprocessable",
    "Only boards on a gateway of kind direct take agents that register themselves.",
  );
}

async function proveEnrolment(context: Context, token: string): Promise<EnrolmentRow> {
  const presented = readToken(token);
  const enrolment =
    presented?.kind === "enrolment" ? await readEnrolment(context.database, presented.id) : undefined;
  if (!presented || !enrolment || !tokenMatches(presented, enrolment.hash))
    throw new MusterError(
      "unauthenticated",
      "The enrolment token is not good: it is unknown or was revoked.",
    );
  if (enrolment.expires_at && enrolment.expires_at.getTime() <= context.services.clock.now())
    throw new MusterError("unauthenticated", "The enrolment token has expired.");
  if (enrolment.uses_left === 0) throw spent();
  return enrolment;
}

function spent(): MusterError {
  return new MusterError("forbidden", "The enrolment token has been used as often as it may be.");
}

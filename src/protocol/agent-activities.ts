/** What a connected agent can say that it is doing. */
export const ACTIVITIES = ["idle", "busy", "blocked"] as const;

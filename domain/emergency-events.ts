// What the log says of emergencies: those that people declare, and those for which a login lay ready.

/** Their part of the catalogue. */
export const EMERGENCY_EVENTS = {
  'emergency.declared': {
    public: ['break_glass', 'person', 'gates', 'quorum', 'continues'],
    private: ['reason', 'incident'],
  },
  'emergency.refused': { public: ['code', 'person'], private: [] },
  'emergency.opened': {
    public: ['break_glass', 'people', 'continues', 'expires_at', 'review_due_at'],
    private: [],
  },
  'emergency.review_late': { public: ['break_glass', 'review_due_at'], private: [] },
  'emergency.reviewed': {
    public: ['break_glass', 'person', 'disposition', 'effects_seen', 'seconds'],
    private: ['findings'],
  },
  'emergency.kit_approved': {
    public: ['kit', 'target', 'gates', 'people', 'permit', 'expires_at'],
    private: [],
  },
  'emergency.kit_keyed': { public: ['kit', 'person', 'thumbprint'], private: [] },
  'emergency.kit_intended': {
    public: ['kit', 'target', 'people', 'attempt', 'issue_by', 'expires_at'],
    private: [],
  },
  'emergency.kit_made': { public: ['kit', 'target', 'attempt', 'expires_at'], private: [] },
  'emergency.share_collected': { public: ['kit', 'person', 'seat'], private: [] },
  'emergency.kit_checked': { public: ['kit', 'target', 'outcome'], private: [] },
  'emergency.kit_expiring': { public: ['kit', 'target', 'expires_at'], private: [] },
  'emergency.kit_end_intended': { public: ['kit', 'target', 'because', 'by'], private: [] },
  'emergency.kit_ended': {
    public: ['kit', 'target', 'because', 'sessions_ended', 'last_seen', 'effects_seen'],
    private: [],
  },
  'emergency.offline_used': {
    public: [
      'break_glass',
      'kit',
      'target',
      'people',
      'first_seen',
      'last_seen',
      'effects_seen',
      'review_due_at',
    ],
    private: [],
  },
} as const;

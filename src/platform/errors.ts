/**
 * Every refusal of the service: code → HTTP status and the short English text that may be shown to a person.
 * Domain code knows codes only; the HTTP layer turns them into answers.
 */
export const refusals = {
  invalid_json: [400, 'Invalid JSON'],
  invalid_body: [400, 'Invalid request body'],
  invalid_value: [400, 'Invalid value.'],
  unsupported_content_type: [415, 'Content-Type must be application/json'],
  body_too_large: [413, 'Request body is too large.'],
  not_found: [404, 'Not found'],
  method_not_allowed: [405, 'Method not allowed'],
  rate_limited: [429, 'Too many requests. Please try again later.'],
  request_timeout: [408, 'Request timed out.'],
  internal: [500, 'Something went wrong. Please try again later.'],
  unavailable: [503, 'Service temporarily unavailable. Please try again later.'],

  token_missing: [401, 'Authentication token is missing'],
  token_invalid: [401, 'Invalid token'],
  token_expired: [401, 'Token has expired'],
  token_type: [401, 'Invalid token type'],
  user_not_found: [401, 'User not found'],
  user_inactive: [403, 'User account is inactive'],
  session_over: [401, 'Token is no longer valid, please log in again'],
  address_unconfirmed: [403, 'Please confirm your email address before accessing this resource'],

  registration_closed: [403, 'Registration is closed.'],
  registration_fields: [400, 'Email, password, and password confirmation are required'],
  email_format: [400, 'Invalid email format'],
  password_short: [400, 'Password must be at least 8 characters'],
  password_long: [400, 'Password must be at most 128 characters'],
  password_weak: [400, 'This password is easy to guess. Use a longer phrase or less common words.'],
  passwords_differ: [400, 'Passwords do not match'],
  email_taken: [409, 'Email already registered'],
  login_fields: [400, 'Email and password are required'],
  credentials: [401, 'Invalid credentials'],
  account_deactivated: [403, 'Account is deactivated. Please contact support.'],
  email_not_confirmed: [
    403,
    'Please confirm your email address before logging in. Check your email for the confirmation link.',
  ],
  awaiting_approval: [403, 'Your account is awaiting approval. We will e-mail you when it is ready.'],
  refresh_required: [400, 'Refresh token is required'],
  refresh_invalid: [401, 'Invalid token. Please log in again.'],
  refresh_user: [401, 'Invalid or inactive user'],
  refresh_expired: [401, 'Refresh token has expired. Please log in again.'],
  refresh_session: [401, 'Session is no longer valid. Please log in again.'],
  refresh_unconfirmed: [403, 'Please confirm your email address before accessing the application.'],
  cross_site: [403, 'Cross-site request refused.'],
  challenge_required: [403, 'Please complete the security challenge.'],
  session_not_found: [404, 'Session not found'],
  current_password_to_update: [400, 'Current password is required to update your profile.'],
  current_password_to_delete: [400, 'Current password is required to delete your account.'],
  current_password_to_export: [400, 'Current password is required to export your data.'],
  current_password: [403, 'Current password is incorrect.'],
  profile_empty: [400, 'Provide a new email and/or password to update your profile.'],
  email_in_use: [409, 'Email is already in use by another account.'],
  new_password_confirmation: [400, 'New password confirmation is required.'],
  new_passwords_differ: [400, 'New password and confirmation do not match.'],
  new_password_same: [400, 'New password must be different from the current password.'],
  profile_unchanged: [
    400,
    'No changes detected. Submit a different email or password to update your profile.',
  ],
  profile_failed: [500, 'Unable to update profile at this time.'],
  email_required: [400, 'Email is required'],
  reset_fields: [400, 'New password and confirmation are required'],
  reset_link: [400, 'Invalid or expired reset link'],
  last_owner: [409, 'The last owner account cannot be deleted.'],
  deletion_failed: [500, 'Unable to start account deletion.'],
  export_not_found: [404, 'No export found'],
  task_not_found: [404, 'Task not found'],
  confirm_link: [400, 'Invalid or expired confirmation link'],
  confirm_taken: [409, 'Email is already in use by another account.'],

  story_not_found: [404, 'Story not found'],
  cover_not_found: [404, 'Cover image not found'],
  stories_failed: [500, 'Error loading stories'],

  foreign: [403, 'Unauthorized'],
  voice_not_found: [404, 'Voice not found'],
  voice_limit: [409, 'Voice limit reached, delete a voice first'],
  upload_no_file: [400, 'No file provided'],
  upload_malformed: [400, 'Malformed upload'],
  upload_too_large: [413, 'Recording is too large (limit 25 MB)'],
  upload_timeout: [408, 'Upload timed out'],
  voice_name_long: [400, 'Name is too long'],
  voice_name_characters: [400, 'Name contains invalid characters'],
  consent_required: [400, 'Consent is required'],
  consent_version: [400, 'Unknown consent version'],
  upload_type: [400, 'Invalid file type'],
  upload_empty: [400, 'File is empty'],
  recording_unreadable: [422, 'Recording could not be read'],
  recording_short: [422, 'Recording is too short (minimum 3 seconds)'],
  recording_long: [422, 'Recording is too long (maximum 10 minutes)'],
  recording_silent: [422, 'Recording is silent'],
  recording_store: [503, 'Could not store the recording, please try again'],
  upload_check_unavailable: [503, 'Upload check is unavailable, please try again'],
  sample_not_found: [404, 'Voice sample not found'],
  voice_not_ready: [404, 'Voice is not ready'],
  voice_delete_failed: [500, 'Failed to delete voice'],

  audio_not_ready: [404, 'Audio not found or not ready'],
  audio_file_missing: [404, 'Audio file not found in storage'],
  audio_not_found: [404, 'Audio not found'],
  audio_missing: [404, 'Audio not found'],
  audio_storage_unavailable: [503, 'Audio storage is temporarily unavailable'],
  range_not_satisfiable: [416, 'Requested range not satisfiable'],
  voice_owner_missing: [404, 'Voice owner account not found'],
  subscription_required: [403, 'Subscription required'],
  story_text_missing: [400, 'Story text not found in story'],
  sample_missing_storage: [409, 'Voice sample is missing from storage; please re-upload the recording.'],
  sample_missing: [409, 'Voice sample is missing; please re-upload the recording.'],
  narration_unavailable: [503, 'Narration is temporarily unavailable, please try again later'],
  insufficient_credits: [402, 'Insufficient Story Points'],
  charge_failed: [500, 'Failed to charge credits'],
  receipt_fields: [400, 'Missing required fields: receipt_token, product_id, platform'],
  receipt_token: [400, 'Invalid receipt_token'],
  receipt_product: [400, 'Unknown product'],
  receipt_platform: [400, 'Invalid platform'],
  receipt_foreign: [409, 'Transaction already consumed by another account'],
  receipt_unavailable: [503, 'Receipt validation temporarily unavailable, please retry'],
  receipt_invalid: [403, 'Receipt validation failed'],
  receipt_check_failed: [500, 'Receipt validation failed'],
  subscription_inactive: [403, 'Active subscription required'],
  grant_failed: [500, 'Failed to grant credits'],
  webhook_unauthorized: [401, 'Unauthorized'],
  webhook_payload: [400, 'Invalid payload'],
  webhook_user: [404, 'user_not_found'],
  webhook_failed: [500, 'Internal error'],
  store_link_mismatch: [400, 'revenuecat_app_user_id must match authenticated user'],
  store_link_taken: [409, 'RevenueCat ID already linked to another account'],
  store_link_failed: [500, 'Failed to link account'],

  admin_content_type: [400, 'Content-Type must be application/json'],
  grant_expiry_format: [400, 'Invalid expires_at format; use ISO8601'],
  grant_expiry_past: [400, 'expires_at must be in the future'],
  grant_amount: [400, 'amount must be a positive integer'],
  grant_source: [400, 'source must be one of: event, monthly, referral, add_on, free'],
  grant_reason: [400, 'reason must be at most 255 characters'],
  idempotency_key: [400, 'Invalid Idempotency-Key'],
  idempotency_key_used: [409, 'Idempotency-Key was used for a different request'],
  account_not_found: [404, 'User not found'],
  waiting_grant_not_found: [404, 'Waiting grant not found'],
  waiting_grant_own: [403, 'Another administrator must approve this grant'],
  waiting_grant_decided: [409, 'This grant has already been decided'],
  waiting_grant_expired: [409, 'This grant has expired; ask for it again'],
  lot_not_found: [404, 'Lot not found'],
  narration_not_found: [404, 'Narration not found'],
  narration_ready: [409, 'The narration is ready; give points instead of a refund'],
  nothing_to_refund: [409, 'Nothing to refund'],
  event_not_found: [404, 'Event not found'],
  link_invalid: [403, 'Link is invalid or has expired'],
} as const satisfies Record<string, readonly [status: number, text: string]>

export type RefusalCode = keyof typeof refusals

/** Body `code` values that clients branch on; all other refusals carry none. */
export const wireCodes: Partial<Record<RefusalCode, string>> = {
  email_not_confirmed: 'EMAIL_NOT_CONFIRMED',
  password_weak: 'WEAK_PASSWORD',
  challenge_required: 'CHALLENGE_REQUIRED',
  voice_owner_missing: 'USER_NOT_FOUND',
  subscription_required: 'SUBSCRIPTION_REQUIRED',
}

export interface RefusalDetails {
  /** Replaces the table's text where a page of the specification interpolates values. */
  text?: string
  /** Extra top-level keys of the JSON body, e.g. `required`. */
  body?: Record<string, string | number | boolean | null>
  /** Extra response headers. */
  headers?: Record<string, string>
  retryAfterSeconds?: number
  cause?: unknown
}

/** A refusal with a code of the table. Anything else that is thrown means a bug and is answered with a plain 500. */
export class AppError extends Error {
  readonly code: RefusalCode
  readonly details: RefusalDetails

  constructor(code: RefusalCode, details: RefusalDetails = {}) {
    super(details.text ?? refusals[code][1], { cause: details.cause })
    this.name = 'AppError'
    this.code = code
    this.details = details
  }

  get status(): number {
    return refusals[this.code][0]
  }
}

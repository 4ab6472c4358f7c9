//! Who calls, and what is open to them.

use serde::Deserialize;

use super::client::{Call, Client};
use super::error::ApiError;
use super::types::{Auth, Organization, RegionInfo, User};

impl Client {
    /// Whose key it is.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn auth(&self) -> Result<Auth, ApiError> {
        self.call(Call::get("looking at the API key", &["auth"])).await
    }

    /// The person behind a personal key.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn me(&self) -> Result<User, ApiError> {
        self.call(Call::get("looking at the account", &["users", "me"])).await
    }

    /// The organisations of that person.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn organizations(&self) -> Result<Vec<Organization>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            organizations: Vec<Organization>,
        }
        let answer: Answer = self.call(Call::get("listing organizations", &["users", "me", "organizations"])).await?;
        Ok(answer.organizations)
    }

    /// The regions in which projects can be created, for an organisation if one is named.
    ///
    /// # Errors
    /// Any failure of the call.
    pub async fn regions(&self, org: Option<&str>) -> Result<Vec<RegionInfo>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            regions: Vec<RegionInfo>,
        }
        let mut call = Call::get("listing regions", &["regions"]);
        if let Some(org) = org {
            call = call.query("org_id", org);
        }
        let answer: Answer = self.call(call).await?;
        Ok(answer.regions)
    }
}

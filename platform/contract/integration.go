package contract

// EntityIntegration is the entity type of audit entries about an integration and its
// secrets.
const EntityIntegration = "integration"
